"""The measured rows as Markdown."""

from collections import Counter, defaultdict

from reasons import reason

INTRO = """\
# Runtimes

Made by `benches/runtimes/run.py` (its README says how). An augmented model is plain ONNX, so the same file must give
the same numbers everywhere. Each model is transformed, and the file run in each runtime, in float32 on one thread.

* *Truth* is the same network in float64, its rows computed in reverse direction without blocks, whatever the file does.
  Inputs are noisy, so that ties are rare; samples in which a switch lies within rounding of its kink, and float32 takes
  its other side, are counted and not compared.
* *Error* is the largest difference from the truth over all added outputs, relative to the largest magnitude that enters
  the sum; a file *agrees* where that, the error of v = x·ŵ + b̂, and any change of the model's own outputs are at most 1e-4.
* *Can* counts the files whose original model the runtime loads, runs, and computes as the truth does: where it can't,
  nothing can be asked of it. What remains are the failures.
* `any` is the default file, which is for all of them; another target is given where a runtime needs one.

"""

GROUPS = ("rules", "random", "square", "shipped")
FAILED = ("wrong", "not loaded", "not run")


def number(value):
    return f"{value:.0e}".replace("e-0", "e-").replace("e+00", "") if value else "0"


def worst(rows):
    return number(max((row["error"] for row in rows if row["verdict"] == "agrees"), default=0.0))


def line(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def of(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def generated(rows, versions):
    text = "## Generated models and the shipped one\n\n"
    text += "| runtime | version | target | group | files | can | loaded | ran | agree | largest error |\n" + "|---" * 10 + "|\n"
    for runtime, target in dict.fromkeys((row["runtime"], row["target"]) for row in rows):
        for group in GROUPS:
            some = of(rows, runtime=runtime, target=target, group=group)
            can = [row for row in some if row["verdict"] not in ("model", "no truth")]
            if some:
                count = Counter(row["verdict"] for row in can)
                loaded = len(can) - count["not loaded"]
                ran = loaded - count["not run"]
                cells = [runtime, versions[runtime], f"`{target}`", group, len(some), len(can), loaded, ran]
                text += line([*cells, count["agrees"], worst(can)])
    return text + "\n"


def trained(rows):
    text = "## Trained networks\n\nOne real input each. *Switches* counts those that float32 takes otherwise than float64: where "
    text += "there are any, no row is compared, and v = x·ŵ + b̂ is what holds. *Seed / forward* is what a seed adds to the "
    text += "processor time of a run, over that of the model itself in the same runtime (in the browser: of the clock's). † is compared "
    text += "with ONNX Runtime in float32, where nothing computes the model in float64.\n\n"
    text += "| network | runtime | target | loaded | ran | switches | error | v = x·ŵ + b̂ | seed / forward |\n" + "|---" * 9 + "|\n"
    for row in sorted(of(rows, group="real"), key=lambda row: row["name"]):
        loaded = "–" if row["verdict"] == "model" else "no" if row["verdict"] == "not loaded" else "yes"
        ran = "yes" if "error" in row else "–" if loaded == "–" else "no"
        measured = ["–"] * 4
        if "error" in row:
            compared = number(row["error"]) if not row["switched"] else "–"
            compared += " †" if row["truth"] == "float32" and compared != "–" else ""
            measured = [row["switched"], compared, number(row["identity"]), row.get("ratio", "–")]
        text += line([row["name"], row["runtime"], f"`{row['target']}`", loaded, ran, *measured])
    return text + "\n"


def standing(rows):
    """What fails, by runtime and reason; and the rows that no reason is known for."""
    groups, unknown = defaultdict(list), []
    for row in rows:
        if row["verdict"] in FAILED:
            text = reason(row)
            groups[row["runtime"], text].append(row)
            unknown += [] if text else [row]
    text = "## What fails, and why\n\n"
    for (runtime, why), some in groups.items():
        names = list(dict.fromkeys(row["op"] or row["name"].rsplit("-", 1)[0] for row in some))
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(row["verdict"] for row in some).items())
        targets = ", ".join(f"`{t}`" for t in dict.fromkeys(row["target"] for row in some))
        text += f"* **{runtime}** ({targets}: {kinds}) {why or 'for a reason that is not known'}: {shown}.\n"
    return text + "\n", unknown


def unable(rows):
    text = "## What the model itself can't do there\n\nOperators of which no form is computed, or not as the truth computes it.\n\n"
    for runtime in dict.fromkeys(row["runtime"] for row in rows):
        some = [row for row in of(rows, runtime=runtime, target="any", group="rules")]
        can = {row["op"] for row in some if row["verdict"] != "model"}
        ops = sorted({row["op"] for row in some} - can)
        if ops:
            text += f"* **{runtime}**: {', '.join(ops)}.\n"
    return text + "\n"


def table(told):
    rows, versions = told["rows"], told["versions"]
    text = INTRO
    added = [row for row in rows if row["verdict"] not in ("model", "no truth")]
    count = Counter(row["verdict"] for row in added)
    text += f"**{len(rows)} runs in {len(versions)} runtimes; {len(added)} of models that the runtime can run itself: "
    text += f"{count['agrees']} agree, {count['not loaded']} are not loaded, {count['not run']} not run, {count['wrong']} wrong. "
    failures, unknown = standing(rows)
    text += f"Of the failures {len(unknown)} are without a known reason.**\n\n"
    return text + generated(rows, versions) + trained(rows) + failures + unable(rows)
