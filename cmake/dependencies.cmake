# What the program stands on. What is missing is told at once, with Debian's package of it.
set(missing "")
# tg_needs(found name package): notes what was not found.
macro(tg_needs found name package)
  if(NOT ${found})
    string(APPEND missing "\n  ${name} (Debian: ${package})")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads)
tg_needs(Threads_FOUND "POSIX threads" libc6-dev)
find_package(MPI COMPONENTS C)
tg_needs(MPI_C_FOUND "MPI with its compiler for C, mpicc" "libopenmpi-dev openmpi-bin, or libmpich-dev mpich")
set(HDF5_PREFER_PARALLEL TRUE)
find_package(HDF5 COMPONENTS C HL)
tg_needs(HDF5_FOUND "HDF5, parallel, with its HL library" "libhdf5-openmpi-dev, or libhdf5-mpich-dev")
find_package(PkgConfig)
tg_needs(PkgConfig_FOUND pkg-config pkg-config)
# tg_needs_module(prefix module package): a library that pkg-config knows, as PkgConfig::<prefix>
macro(tg_needs_module prefix module package)
  if(PkgConfig_FOUND)
    pkg_check_modules(${prefix} IMPORTED_TARGET ${module})
  endif()
  tg_needs(${prefix}_FOUND ${module} ${package})
endmacro()
tg_needs_module(OPENBLAS openblas libopenblas-dev)
tg_needs_module(GSL gsl libgsl-dev)
tg_needs_module(YAML yaml-0.1 libyaml-dev)
tg_needs_module(MD libmd libmd-dev)
tg_needs_module(JANSSON jansson libjansson-dev)
tg_needs_module(ARCHIVE libarchive libarchive-dev)
tg_needs_module(XXHASH libxxhash libxxhash-dev)
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h)
tg_needs(RANDOM123_INCLUDE_DIR "Random123, a set of headers" librandom123-dev)
if(BUILD_TESTING)
  tg_needs_module(CUNIT cunit libcunit1-dev)
  find_program(TG_PYTHON NAMES python3 HINTS /usr/bin NO_DEFAULT_PATH) # one that has what the tests need
  find_program(TG_PYTHON NAMES python3)
  tg_needs(TG_PYTHON "python3 for the tests" python3)
endif()
if(missing)
  message(FATAL_ERROR "These are missing:${missing}\nWhat lies in folders of its own (a module stack, say) is found below "
                      "CMAKE_PREFIX_PATH, and HDF5 below HDF5_ROOT; MPI by its compiler, MPI_C_COMPILER. A build without tests: -DBUILD_TESTING=OFF.")
endif()

if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "The HDF5 found (${HDF5_C_LIBRARIES}) is a serial one. tokengeom writes one file from many MPI ranks "
                      "and needs a parallel HDF5: install libhdf5-openmpi-dev, or set HDF5_ROOT to a parallel build.")
endif()

# Two MPIs in one program do not fail before it runs. tg_names(variable kind libraries...): NEEDED or SONAME of libmpi in them
function(tg_names variable kind)
  set(names "")
  foreach(library IN LISTS ARGN)
    if(CMAKE_OBJDUMP AND library MATCHES "[.]so[.0-9]*$")
      execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${library} OUTPUT_VARIABLE dynamic ERROR_QUIET)
      string(REGEX MATCHALL "${kind} +libmpi(ch)?[.]so[.0-9]*" found "${dynamic}")
      list(APPEND names ${found})
    endif()
  endforeach()
  list(TRANSFORM names REPLACE "${kind} +" "")
  list(REMOVE_DUPLICATES names)
  set(${variable} "${names}" PARENT_SCOPE)
endfunction()
tg_names(mpi_of_hdf5 NEEDED ${HDF5_C_LIBRARIES})
tg_names(mpi_found SONAME ${MPI_C_LIBRARIES})
if(mpi_of_hdf5 AND mpi_found AND NOT mpi_of_hdf5 STREQUAL mpi_found)
  message(FATAL_ERROR "The HDF5 found (${HDF5_C_LIBRARIES}) was built with another MPI, ${mpi_of_hdf5}, than the one found, "
                      "${mpi_found} (${MPI_C_LIBRARIES}). Set MPI_C_COMPILER to the mpicc of HDF5's MPI, or HDF5_ROOT to "
                      "an HDF5 of this MPI (Debian: -DHDF5_C_COMPILER_EXECUTABLE=/usr/bin/h5pcc.mpich or h5pcc.openmpi).")
endif()

add_library(random123 INTERFACE)
target_include_directories(random123 SYSTEM INTERFACE ${RANDOM123_INCLUDE_DIR})

add_library(parallel_hdf5 INTERFACE)
target_compile_definitions(parallel_hdf5 INTERFACE H5_USE_110_API) # later versions keep the functions of 1.10
target_include_directories(parallel_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(parallel_hdf5 INTERFACE ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES} MPI::MPI_C)

# Products of bfloat16 matrices: several times faster where the CPU has instructions for them. Looked for by name: the config
# file that oneDNN installs wants OpenCL and TBB too, which the C interface on CPUs does not.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
find_library(DNNL_LIBRARY dnnl)
find_package(OpenMP QUIET COMPONENTS C)
if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY AND OpenMP_C_FOUND)
  add_library(DNNL::dnnl UNKNOWN IMPORTED)
  set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
  set(dnnl_is_there ON)
else()
  set(dnnl_is_there OFF)
  message(STATUS "oneDNN (libdnnl-dev), or the OpenMP of this compiler, is not there: float32 products only")
endif()
option(TG_WITH_DNNL "Multiply bfloat16 matrices by oneDNN" ${dnnl_is_there})

# The model in the same process. Any llama.cpp installation will do; the PyPI package llama-cpp-python carries one:
#   -DCMAKE_PREFIX_PATH="$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
option(TG_WITH_LLAMA "Run models through libllama (source kind llama)" OFF)
if(TG_WITH_LLAMA)
  enable_language(CXX) # libllama is C++
  find_package(llama REQUIRED)
endif()
