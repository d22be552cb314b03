/* The bytes of tools/fonts/inter-bold-ascii.otf, put into the program by tools/fonts/embed.cmake. */
#ifndef FV_TOOLS_FONT_DATA_H
#define FV_TOOLS_FONT_DATA_H

extern const unsigned char fv_font_data[];
extern const unsigned int fv_font_size;

#endif
