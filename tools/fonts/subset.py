"""Makes tools/fonts/inter-bold-ascii.otf: Inter Bold (https://github.com/rsms/inter, SIL Open Font License 1.1, no reserved
font name), cut down to printable ASCII. Needs fonttools, and the font of Debian's package fonts-inter:

    python tools/fonts/subset.py /usr/share/fonts/opentype/inter/Inter-Bold.otf tools/fonts/inter-bold-ascii.otf
"""
import sys

from fontTools import subset

options = subset.Options()
options.layout_features = []            # no kerning, no alternates: advance widths are all that the canvas uses
options.hinting = False                 # stb_truetype does not run hints
options.desubroutinize = True
options.name_IDs = [0, 1, 2, 13, 14]    # copyright, names and licence stay in the file
options.drop_tables += ["GDEF", "GPOS", "GSUB", "STAT", "DSIG"]

font = subset.load_font(sys.argv[1], options)
subsetter = subset.Subsetter(options)
subsetter.populate(unicodes=range(0x20, 0x7F))
subsetter.subset(font)
subset.save_font(font, sys.argv[2], options)
