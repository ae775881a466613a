# What the program stands on; Debian's package is named where something is missing.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)

set(HDF5_PREFER_PARALLEL TRUE)
find_package(HDF5 REQUIRED COMPONENTS C HL)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "The HDF5 found (${HDF5_C_LIBRARIES}) is a serial one. tokengeom writes one file from many MPI ranks "
                      "and needs a parallel HDF5: install libhdf5-openmpi-dev, or set HDF5_ROOT to a parallel build.")
endif()

find_package(PkgConfig REQUIRED)
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas) # libopenblas-dev
pkg_check_modules(GSL REQUIRED IMPORTED_TARGET gsl)           # libgsl-dev
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)     # libyaml-dev
pkg_check_modules(MD REQUIRED IMPORTED_TARGET libmd)          # libmd-dev
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)   # libjansson-dev
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)  # libxxhash-dev

find_path(RANDOM123_INCLUDE_DIR Random123/philox.h REQUIRED) # librandom123-dev
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
  message(STATUS "oneDNN (libdnnl-dev) is not there: float32 products only")
endif()
option(TG_WITH_DNNL "Multiply bfloat16 matrices by oneDNN" ${dnnl_is_there})

# The model in the same process. Any llama.cpp installation will do; the PyPI package llama-cpp-python carries one:
#   -DCMAKE_PREFIX_PATH="$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
option(TG_WITH_LLAMA "Run models through libllama (source kind llama)" OFF)
if(TG_WITH_LLAMA)
  enable_language(CXX) # libllama is C++
  find_package(llama REQUIRED)
endif()
