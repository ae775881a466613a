# tg_options: how every target of ours is compiled.
if(NOT CMAKE_BUILD_TYPE)
  message(STATUS "No build type given: use a preset (cmake --preset release); going on with no optimization")
endif()

add_library(tg_options INTERFACE)
target_compile_features(tg_options INTERFACE c_std_17)
target_compile_definitions(tg_options INTERFACE _GNU_SOURCE)
target_compile_options(
  tg_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla
            # Results must not depend on where the compiler fuses a product and a sum: fused ones are written fma().
            -ffp-contract=off -fno-math-errno -fno-trapping-math
            # A program that is installed or moved names no folder that it was built from.
            -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)

option(TG_WERROR "Treat warnings as errors" OFF)
if(TG_WERROR)
  target_compile_options(tg_options INTERFACE -Werror)
endif()

set(TG_SANITIZE OFF CACHE STRING "Sanitizers: OFF, address (and undefined behavior) or thread")
if(TG_SANITIZE STREQUAL thread)
  target_compile_options(tg_options INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(tg_options INTERFACE -fsanitize=thread)
elseif(TG_SANITIZE)
  target_compile_options(tg_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(tg_options INTERFACE -fsanitize=address,undefined)
endif()

# The commit that is built, for --version and the results' provenance.
execute_process(
  COMMAND git describe --always --dirty
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
  OUTPUT_VARIABLE TG_COMMIT
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT TG_COMMIT)
  set(TG_COMMIT "no commit")
endif()
configure_file(${PROJECT_SOURCE_DIR}/src/version.h.in ${PROJECT_BINARY_DIR}/generated/version.h @ONLY)
