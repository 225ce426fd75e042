"""Asks a script for its experiments: python3 -I - SCRIPT < THIS

Such a script has a function `spec()` that returns them, or makes a list `experiments_list`, and imports
what stands here in place of the older mrunner's own modules. The answer is a line of JSON with the name and
tags of the run, then one for each experiment, its parameters; what the script prints goes to stderr.
"""
import copy
import itertools
import json
import os
import site
import sys
import traceback
import types

answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


class Experiment:
    """A set of parameters; takes whatever else the older one took."""

    def __init__(self, project=None, name=None, script=None, parameters=None, **others):
        self.__dict__.update(others, project=project, name=name, script=script, parameters=parameters)

    def to_dict(self):
        return self.__dict__


class Munch(dict):
    """For those who have not installed `munch`."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__


def get_combinations(param_grids, limit=None):
    """The product of each grid's values; those of keys that end with `___` go together."""
    points = []
    for grid in [param_grids] if isinstance(param_grids, dict) else param_grids:
        for key, values in grid.items():
            if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
                raise TypeError(f"the values of `{key}` must be a list, not {values!r}")
        tied = [key for key in grid if key.endswith("___")]
        free = [key for key in grid if key not in tied]
        names = [key[:-3] for key in tied] + free
        together = list(zip(*(grid[key] for key in tied))) if tied else [()]
        for first in together:
            for rest in itertools.product(*(grid[key] for key in free)):
                points.append(dict(zip(names, tuple(first) + rest)))
    return points[:limit] if limit else points


def create_experiments_helper(
    experiment_name=None, base_config=None, params_grid=(), script=None, project_name=None, callbacks=None, **others
):
    """An experiment for each point of the grid, with the base's other parameters."""
    if callbacks:
        raise NotImplementedError("`callbacks` are not called here: change the parameters before")

    def make(point):
        parameters = Munch({**copy.deepcopy(base_config or {}), **point})
        return Experiment(project_name, experiment_name, script, parameters, **others)

    return [make(point) for point in get_combinations(params_grid)]


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members, __path__=[])
    sys.modules[name] = module
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)


# packages of this user's, which the isolated mode leaves out
own = site.getusersitepackages()
if sys.prefix == sys.base_prefix and os.path.isabs(own) and os.path.isdir(own):
    site.addsitedir(own)

stand_in("mrunner")
stand_in("mrunner.experiment", Experiment=Experiment)
stand_in("mrunner.helpers")
helpers = {"create_experiments_helper": create_experiments_helper, "get_combinations": get_combinations}
stand_in("mrunner.helpers.specification_helper", **helpers)
try:
    import munch
except ImportError:
    stand_in("munch", Munch=Munch)


def plain(value):
    """What JSON can hold, of numpy's numbers and the like too."""
    for name in ("tolist", "item", "isoformat", "__fspath__"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise TypeError(f"{value!r} is no value that an argument can hold")


def end(code):
    """At once: what the script left running must not hold it up."""
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(code)


def fail(words):
    sys.__stdout__.flush()
    sys.__stderr__.write(words + "\n")
    sys.__stderr__.flush()
    end(1)


def common(experiments):
    """What the run has of its experiments: the name that all have, and every tag."""
    names = {own["name"] for own in experiments if isinstance(own.get("name"), str)}
    if len(names) > 1:
        print("mrunner: the experiments have names of their own, and the run is one: give it one with `--name`", file=sys.stderr)
    tags = [tag for own in experiments for tag in own.get("tags") or () if isinstance(tag, str)]
    return {"name": names.pop() if len(names) == 1 else None, "tags": list(dict.fromkeys(tags))}


def folders(script):
    """The folders that the script's imports are looked for in, after Python's own and those of installed packages.

    The current folder may be somebody else's: it counts only if the script that the user named is in it.
    """
    here = os.getcwd()
    real_here = os.path.join(os.path.realpath(here), "")
    is_in = os.path.realpath(script).startswith(real_here)
    return [os.path.dirname(os.path.abspath(script))] + [here] * is_in


def run(script):
    """The script's experiments."""
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    module = types.ModuleType("experiments")
    module.__dict__.update(__file__=script, script=os.path.basename(script))
    sys.modules["experiments"] = module
    sys.path += folders(script)
    exec(code, module.__dict__)
    spec = getattr(module, "spec", None)
    if callable(spec):
        return "`spec()` returns", spec()
    if not hasattr(module, "experiments_list"):
        fail("it has neither a function `spec()` nor a list `experiments_list`")
    return "`experiments_list` is", module.experiments_list


def main(script):
    sys.argv = [script]
    try:
        what, experiments = run(script)
        if isinstance(experiments, (str, bytes, dict)) or not hasattr(experiments, "__iter__"):
            fail(f"{what} {type(experiments).__name__}, not a list of experiments")
        lines, all = [], []
        for number, experiment in enumerate(experiments):
            if len(lines) > 100_000:
                fail(f"{what} more than 100000 experiments, and a Job can hold no more")
            own = experiment if isinstance(experiment, dict) else getattr(experiment, "__dict__", {})
            parameters = own.get("parameters")
            if not isinstance(parameters, dict):
                fail(f"experiment {number} has no `parameters`, which are a dict: {experiment!r}")
            for name, value in parameters.items():
                try:
                    json.dumps({str(name): value}, default=plain, allow_nan=False)
                except (TypeError, ValueError, RecursionError) as error:
                    fail(f"the parameter `{name}` of experiment {number}: {error}")
            all.append(own)
            lines.append(json.dumps(parameters, default=plain, allow_nan=False))
        if not lines:
            fail(f"{what} no experiments")
        lines.insert(0, json.dumps(common(all)))
    except SystemExit as error:
        fail(f"it ended itself with {error.code!r}")
    except BaseException as error:
        # from the first line of the script on, without those of this file
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename != script:
            trace = trace.tb_next
        fail("".join(traceback.format_exception(type(error), error, trace)).rstrip())
    answer.write("".join(line + "\n" for line in lines))
    answer.flush()
    end(0)


main(sys.argv[1])
