# The installed tree, which names no folder that it was built from and works wherever it is moved to; and Debian's package of it.
set_target_properties(tokengeom PROPERTIES INSTALL_RPATH_USE_LINK_PATH TRUE) # libraries of a module stack; not those below this project

# libllama that the set-up has built in this folder goes along; one that lies elsewhere stays there.
if(TG_WITH_LLAMA)
  get_target_property(llama_library llama IMPORTED_LOCATION)
  get_filename_component(llama_folder ${llama_library} DIRECTORY)
  string(FIND "${llama_folder}/" "${PROJECT_SOURCE_DIR}/" below)
  if(below EQUAL 0)
    file(GLOB llama_libraries ${llama_folder}/libllama.so.? ${llama_folder}/libggml*.so.?)
    install(FILES ${llama_libraries} DESTINATION ${CMAKE_INSTALL_LIBDIR}/tokengeom)
    file(RELATIVE_PATH libraries_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR}/tokengeom)
    set_target_properties(tokengeom PROPERTIES INSTALL_RPATH $ORIGIN/${libraries_from_bin})
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${llama_folder})
  endif()
endif()
install(TARGETS tokengeom)

# What the program and the job scripts call, and what users start or copy.
set(jobs ${PROJECT_SOURCE_DIR}/jobs)
set(shared ${CMAKE_INSTALL_DATADIR}/tokengeom)
install(PROGRAMS ${jobs}/plot_figures.py ${jobs}/export_states.py ${jobs}/make_prompts.py DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/tokengeom)
install(FILES ${jobs}/program.sh ${jobs}/restartable.sh DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/tokengeom)
install(PROGRAMS ${jobs}/analyse_after.sbatch ${jobs}/extract_array.sbatch ${jobs}/multinode.sbatch ${jobs}/node.sbatch
                 ${jobs}/quickstart.sh ${jobs}/submit_study.sh ${jobs}/workstation.sh
        DESTINATION ${shared}/jobs)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/config DESTINATION ${shared})
install(FILES ${PROJECT_SOURCE_DIR}/tests/data/smollm2-states.h5 DESTINATION ${shared}/tests/data) # of config/quickstart.yaml
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/LICENSE TYPE DOC)
install(FILES ${PROJECT_SOURCE_DIR}/packaging/modulefile DESTINATION ${shared}/modulefiles/tokengeom RENAME ${PROJECT_VERSION})

install(DIRECTORY ${PROJECT_BINARY_DIR}/share/man/ DESTINATION ${CMAKE_INSTALL_MANDIR})
install(DIRECTORY ${PROJECT_BINARY_DIR}/share/bash-completion DESTINATION ${CMAKE_INSTALL_DATADIR})

set(CPACK_PACKAGE_NAME tokengeom)
set(CPACK_PACKAGE_CONTACT "tokengeom's developers <tokengeom@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # dpkg-shlibdeps finds the libraries
if(MPI_C_LIBRARIES MATCHES mpich)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS mpich)
else()
  set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)
endif()
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3-matplotlib")
set(CPACK_STRIP_FILES ON)
include(CPack)
