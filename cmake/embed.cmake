# Text files as C strings. dlvk_embed(OUT.c "FILES") makes a rule that writes OUT.c, which defines the table glsl_files of
# codegen/glsl_files.h: one entry a file, in the order of their names. The same file is the script that the rule runs.

function(dlvk_embed out files)
  list(SORT files)
  list(JOIN files "|" joined)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} "-DEMBED_OUT=${out}" "-DEMBED_FILES=${joined}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE AND EMBED_OUT)
  string(REPLACE "|" ";" files "${EMBED_FILES}")
  set(count 0)
  set(body "/* Made from codegen/glsl/ by cmake/embed.cmake. */\n#include \"codegen/glsl_files.h\"\n\nconst GlslFile glsl_files[] = {\n")
  foreach(path IN LISTS files)
    get_filename_component(name "${path}" NAME)
    file(READ "${path}" text)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\r" "" text "${text}")
    string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
    string(APPEND body "    {\"${name}\",\n     \"${text}\"},\n")
    math(EXPR count "${count} + 1")
  endforeach()
  string(APPEND body "    {0, 0}, /* C has no empty arrays */\n};\nconst int glsl_file_count = ${count};\n")
  file(WRITE "${EMBED_OUT}" "${body}")
endif()
