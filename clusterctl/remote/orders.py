"""What the controller may tell a supervisor; supervisor.py lists it.  Nothing here waits."""

STEP_KEYS = {
    "name", "script", "argv", "modules", "files", "env", "timeout_s", "term_s", "cap_bytes", "nice",
    "load",
}  # fmt: skip


class Refused(Exception):
    """Why a command is not accepted; `words` stand beside it in the reply."""

    def __init__(self, why, **words):
        super().__init__(why)
        self.words = words


def check_step(step, sources):
    """Raises Refused."""
    unknown = sorted(set(step) - STEP_KEYS)
    if unknown:
        raise Refused("a step has no " + " ".join(unknown))
    if not step.get("name") or not (step.get("script") or step.get("argv")):
        raise Refused("a step needs a name, and script or argv")
    if not float(step.get("timeout_s") or 0) > 0:
        raise Refused("a step needs timeout_s")
    wanted = [step.get("script"), *step.get("modules", ()), *step.get("files", ())]
    absent = [name for name in wanted if name and name not in sources]
    if absent:
        raise Refused("no source of " + " ".join(absent))


def obey(order, load, now):
    """Do it.  Raises Refused where it cannot be."""
    load.sources.update(order.get("sources") or {})
    if order["do"] == "run":
        check_step(order.get("step") or {}, load.sources)
        load.queue.append((order["id"], order["step"]))
    elif order["do"] == "stop_step":
        identity = order.get("step") or (load.step.identity if load.step else "")
        if not load.drop(identity, "told"):
            raise Refused("no such step runs or waits")
    elif order.get("on"):
        steps = order.get("steps") or []
        for step in steps:
            check_step(step, load.sources)
        if not steps:
            raise Refused("a soak needs steps")
        load.soak, load.soak_id, load.cycle, load.soak_at = steps, order["id"], 0, now
    else:
        load.soak = []
        if load.step and "/" in load.step.identity:
            load.stop("told")


def told(order):
    """Of the record: all but the sources, which are long and known to the controller."""
    return {name: value for name, value in order.items() if name != "sources"}
