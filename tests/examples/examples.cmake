# The examples of docs/adding.md, built into docs_test_examples: kernels for each instruction set, and the registries with the examples' lines in them. The table of
# operations with the example's slots is another one than that of the libraries: what fills it is compiled over it, and linked to nothing.
set(examples ${CMAKE_SOURCE_DIR}/tests/examples)
set(copies ${CMAKE_BINARY_DIR}/examples)
set(copied "")
function(fovea_example file)
  list(TRANSFORM ARGN PREPEND ${examples}/ OUTPUT_VARIABLE diffs)
  list(JOIN diffs "," joined)
  add_custom_command(OUTPUT ${copies}/${file}
    COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DOUT=${copies}/${file} -DDIFFS=${joined} -P ${CMAKE_SOURCE_DIR}/cmake/example.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${diffs} ${CMAKE_SOURCE_DIR}/cmake/example.cmake VERBATIM)
  set(copied ${copied} ${copies}/${file} PARENT_SCOPE)
endfunction()
fovea_example(tools/registry.h flip-registry-h.diff)
fovea_example(tools/registry.c flip-registry-c.diff)
fovea_example(rl/part.c brief-part.diff)
target_sources(docs_test_examples PRIVATE ${examples}/unit_pass.c ${examples}/flip.c ${examples}/brief.c ${copied})
target_include_directories(docs_test_examples BEFORE PRIVATE ${copies})

set(copies ${CMAKE_BINARY_DIR}/examples/table) # a folder of its own: its core/ops.h is not for docs_test_examples
set(copied "")
fovea_example(core/ops.h unit-ops.diff unit-list.diff)
fovea_example(core/hollow.c unit-hollow.diff)
fovea_example(tests/cuda/hosted.c unit-hosted.diff)
add_library(fovea_example_table OBJECT ${CMAKE_SOURCE_DIR}/cpu/cpu.c ${copied})
target_link_libraries(fovea_example_table PRIVATE fovea_flags)
target_include_directories(fovea_example_table BEFORE PRIVATE ${copies})
add_dependencies(docs_test_examples fovea_example_table)

# The kernels see no table, only the types that its slots give them (cpu/cpu.h).
foreach(isa scalar avx2 avx512)
  add_library(fovea_example_${isa} OBJECT ${examples}/unit.c)
  target_link_libraries(fovea_example_${isa} PRIVATE fovea_flags)
  target_compile_definitions(fovea_example_${isa} PRIVATE FV_ISA=${isa} FV_ISA_${isa}=1)
  target_compile_options(fovea_example_${isa} PRIVATE ${isa_flags_${isa}})
  target_include_directories(fovea_example_${isa} BEFORE PRIVATE ${copies})
  add_dependencies(fovea_example_${isa} fovea_example_table) # which makes core/ops.h
  target_sources(docs_test_examples PRIVATE $<TARGET_OBJECTS:fovea_example_${isa}>)
endforeach()
