"""The one look of all figures: colour-blind-safe, legible in print at the width of one column."""

COLUMN = 3.5  # width of one printed column, inches

# Okabe and Ito's palette without its yellow, which is too faint on white for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)))
ROLE_COLOURS = {"method": "#0072B2", "control": "#D55E00", "reference": "#555555"}
TEACHER_COLOUR = "#009E73"

STYLE = {
    "font.size": 8,
    "font.family": "DejaVu Sans",  # ships with the drawing library: the same picture on every machine
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "wcord-bench",
}


def line_style(position: int) -> dict:
    """Colour and dash of the line at a position: 35 that differ."""
    return {
        "color": COLOURS[position % len(COLOURS)],
        "linestyle": DASHES[position // len(COLOURS) % len(DASHES)],
    }


# Paul Tol's "muted" scheme and Okabe and Ito's, for the classes of a map, where no line is drawn.
CLASS_COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255",
    "#AA4499", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#000000", "#999999",
)  # fmt: skip
