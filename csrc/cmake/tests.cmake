# SPDX-License-Identifier: Apache-2.0
# The tests: every tests/c/*_test.c, every examples/c/*.c that needs no other library, every public
# header by itself, and, if there is a C++ compiler, those of tests/cpp. In a build for one thread
# they are the programs that tests/c/one_thread.txt lists.
set(root "${CMAKE_CURRENT_SOURCE_DIR}/..")

# Builds a program from one file, links it to the library, and registers it as a test.
function(aegis_add_program name file library)
    add_executable(${name} "${file}")
    set_target_properties(${name} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON
                          C_EXTENSIONS OFF)
    target_link_libraries(${name} PRIVATE ${library} aegis_memory_flags)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${root}")
endfunction()

# The programs are linked to the chosen library. A program that uses more than the public functions
# needs a static library. If none is built, one is built for such programs.
if(NOT has_static)
    aegis_add_library(aegis_memory_internal STATIC)
    target_compile_definitions(aegis_memory_internal PUBLIC AEGIS_STATIC)
    set(internal_library aegis_memory_internal)
else()
    set(internal_library aegis_memory_static)
endif()
if(AEGIS_OMIT_THREADS)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${root}/tests/c/one_thread.txt")
    file(STRINGS "${root}/tests/c/one_thread.txt" test_files REGEX "^[a-z]")
    list(TRANSFORM test_files REPLACE "^([a-z_]+).*" "${root}/tests/c/\\1.c")
else()
    file(GLOB test_files CONFIGURE_DEPENDS "${root}/tests/c/*_test.c")
endif()
if(WIN32)
    # There no process forks, no thread is cancelled, there is no membarrier, and no program can play
    # the system. So these programs would test nothing.
    list(FILTER test_files EXCLUDE REGEX "/(.*fork|buffer_pool_barrier|cancel|page_store_partial)_test\\.c$")
endif()
foreach(file IN LISTS test_files)
    get_filename_component(name "${file}" NAME_WE)
    set(library aegis_memory)
    if(name MATCHES "^budget_(fork|stress|system|wait)_test$" OR
       name MATCHES "^(buffer_pool_trim|count_limit|filled_.*|page_checksum|pool_wait|print|system_memory)_test$")
        set(library ${internal_library})
    endif()
    aegis_add_program(${name} "${file}" ${library})
endforeach()
if(AEGIS_OMIT_THREADS)
    return()
endif()
# If the tests have the static library, some of them run once more with the shared one.
if(has_shared AND chosen_kind STREQUAL "static")
    foreach(name IN ITEMS arena_test arena_hooks_test arena_scope_test base_test buffer_map_test
                 buffer_memory_test buffer_mut_test buffer_pool_test buffer_test
                 lock_free_pool_test locked_pool_test
                 pool_cache_test pool_test source_test)
        aegis_add_program(${name}_shared "${root}/tests/c/${name}.c" aegis_memory_shared)
    endforeach()
endif()

# A program that is linked to the static library and loads the shared one too.
if(has_shared)
    add_executable(two_copies "${root}/tests/c/two_copies.c")
    set_target_properties(two_copies PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON
                          C_EXTENSIONS OFF)
    target_link_libraries(two_copies PRIVATE ${internal_library} aegis_memory_flags
                          ${CMAKE_DL_LIBS})
    add_dependencies(two_copies aegis_memory_shared)
    add_test(NAME two_copies COMMAND two_copies $<TARGET_FILE:aegis_memory_shared>
             WORKING_DIRECTORY "${root}")
endif()

file(GLOB example_files CONFIGURE_DEPENDS "${root}/examples/c/*.c")
foreach(file IN LISTS example_files)
    get_filename_component(name "${file}" NAME_WE)
    # Those that include this header use another library; examples/c/run builds them.
    file(STRINGS "${file}" uses_other REGEX "^#include (\"client.h\"|\"sqlite_pcache.h\")")
    if(uses_other)
        continue()
    endif()
    aegis_add_program(example_${name} "${file}" aegis_memory)
endforeach()

# The headers, exports.txt and both libraries must name the same functions, and the static library
# must export none.
if(UNIX AND NOT APPLE AND has_shared)
    add_test(NAME exports COMMAND "${root}/tests/exports" "$<TARGET_FILE:aegis_memory_shared>"
             "$<TARGET_FILE:${internal_library}>")
endif()

# A program must link no more of the static library than it uses. With a sanitizer it cannot.
if(UNIX AND NOT APPLE AND has_static AND NOT AEGIS_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME linked COMMAND "${root}/tests/linked" "${CMAKE_C_COMPILER}"
             "$<TARGET_FILE:aegis_memory_static>")
endif()

# Each public header must compile alone, as C11 and as C++11. The compilers are called without the
# flags of the build, so that none of these hides a fault.
if(NOT MSVC)
    find_program(AEGIS_CXX NAMES "$ENV{CXX}" c++ g++ clang++)
    file(GLOB headers CONFIGURE_DEPENDS "${root}/include/*.h" "${root}/include/aegis_memory/*.h")
    set(strict -Wall -Wextra -Wpedantic -Werror -fsyntax-only)
    foreach(header IN LISTS headers)
        get_filename_component(name "${header}" NAME_WE)
        set(unit "${CMAKE_CURRENT_BINARY_DIR}/header_${name}")
        file(RELATIVE_PATH included "${root}/include" "${header}")
        file(WRITE "${unit}.c" "#include \"${included}\"\ntypedef int header_is_complete;\n")
        file(WRITE "${unit}.cc" "#include \"${included}\"\ntypedef int header_is_complete;\n")
        add_test(NAME header_${name}_as_c11 COMMAND "${CMAKE_C_COMPILER}" -std=c11 ${strict}
                 -I "${root}/include" "${unit}.c")
        if(AEGIS_CXX)
            add_test(NAME header_${name}_as_cxx11 COMMAND "${AEGIS_CXX}" -std=c++11 ${strict}
                     -I "${root}/include" "${unit}.cc")
        endif()
    endforeach()
endif()

# The tests of aegis_memory.hpp. Unless a C++ compiler is named, it is the one that belongs to the C
# compiler, as clang++ to clang, so that it makes programs for the same machine and sanitizer.
if(AEGIS_CXX_TESTS)
    get_filename_component(c_dir "${CMAKE_C_COMPILER}" DIRECTORY)
    get_filename_component(cxx_name "${CMAKE_C_COMPILER}" NAME)
    string(REGEX REPLACE "clang" "clang++" cxx_name "${cxx_name}")
    string(REGEX REPLACE "gcc" "g++" cxx_name "${cxx_name}")
    string(REGEX REPLACE "^cc" "c++" cxx_name "${cxx_name}")
    set(named "${CMAKE_CXX_COMPILER}" "$ENV{CXX}" "${c_dir}/${cxx_name}")
    list(REMOVE_ITEM named "" "${CMAKE_C_COMPILER}")
    list(GET named 0 named)
    find_program(AEGIS_TESTS_CXX NAMES "${named}")
    if(AEGIS_TESTS_CXX)
        set(CMAKE_CXX_COMPILER "${AEGIS_TESTS_CXX}")
        enable_language(CXX)
    endif()
endif()
if(AEGIS_CXX_TESTS AND "cxx_std_17" IN_LIST CMAKE_CXX_COMPILE_FEATURES)
    foreach(name IN ITEMS all no_exceptions_test)
        aegis_add_program(cpp_${name} "${root}/tests/cpp/${name}.cpp" aegis_memory)
        set_target_properties(cpp_${name} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON
                              CXX_EXTENSIONS OFF)
    endforeach()
    if(NOT MSVC)
        target_compile_options(cpp_no_exceptions_test PRIVATE -fno-exceptions -fno-rtti)
    endif()
endif()

# For input that the example must refuse: it ends with a failure, and says what is wrong.
if(EXISTS "${root}/examples/c/quickstart.c")
    function(aegis_add_refusal name content expected)
        set(file "${CMAKE_CURRENT_BINARY_DIR}/${name}.csv")
        if(content)
            file(WRITE "${file}" "${content}")
        endif()
        add_test(NAME example_refuses_${name} COMMAND example_quickstart "${file}")
        set_tests_properties(example_refuses_${name} PROPERTIES WILL_FAIL ON)
        add_test(NAME example_explains_${name} COMMAND example_quickstart "${file}")
        set_tests_properties(example_explains_${name} PROPERTIES PASS_REGULAR_EXPRESSION
                             "${expected}")
    endfunction()
    aegis_add_refusal(ragged_row "a,b,c\n1,2,3\n1\n" "ragged_row.csv:3: the row has 1 fields")
    string(ASCII 255 stray)
    aegis_add_refusal(no_utf8 "a,b\n${stray},2\n" "no_utf8.csv:2: the line is not valid UTF-8")
    aegis_add_refusal(missing_file "" "cannot read .*missing_file.csv: No such file")
endif()
