"""Names that files may have."""

ORDINARY = [
    "a",
    "a/b.fits",
    "ü é %.txt",
    "...",
    ".hidden",
    "a b/c",
    " leading and trailing ",
    "n" * 255,
    "ü" * 127,
    "Screenshot 2026-03-01 at 9.41.00\u202fPM.png",  # every macOS
    "10\u00a0km.dat",
    "東京\u3000観測.fits",
    "\U0001f469\u200d\U0001f52c.jpg",  # a woman scientist: two emoji and a joiner
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.txt",  # a flag, in tags
    "क्\u200dष.txt",
    "می\u200cخواهم.pdf",
    "\u200fעברית.doc",
    "soft\u00adhyphen",
    "\ufeffwith a mark of order",
    "\U0001fae9.png",  # unassigned before Unicode 16
    "\U0001face\U000378f0",
    "private \ue000",
    "cafe\u0301",
]
