# The font becomes an array in the program, so that a moved binary still writes: build/generated/font_data.c.
set(font ${CMAKE_CURRENT_LIST_DIR}/inter-bold-ascii.otf)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${font})
file(READ ${font} font_hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," font_bytes "${font_hex}")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/font_data.c @ONLY CONTENT
"#include \"tools/font_data.h\"\nconst unsigned char fv_font_data[] = {@font_bytes@};\nconst unsigned int fv_font_size = sizeof fv_font_data;\n")
target_sources(fovea_tools PRIVATE ${CMAKE_BINARY_DIR}/generated/font_data.c)
