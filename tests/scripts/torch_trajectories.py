"""Where PyTorch's optimizers take the small network of tests/frontend/trainee.c in 200 steps, in float64.

Usage: python3 tests/scripts/torch_trajectories.py >tests/frontend/torch_trajectories.h
Made once with Debian's python3-torch 2.6.0; LAMB and Lion are not in PyTorch.
"""
import numpy as np, torch

STEPS, BATCHES, ROWS, SHAPES = 200, 5, 8, [(4, 3), (4,), (2, 4), (2,)]
f32 = lambda x: torch.from_numpy(np.float32(x).astype(np.float64))
lr32 = lambda x: float(np.float32(x))
cases = {  # name: optimizer, its options, bound on the norm, bound on elements
    "sgd": (torch.optim.SGD, dict(lr=0.1), 0, 0),
    "momentum and l2": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=0.01), 0, 0),
    "nesterov and clip_norm": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, nesterov=True), 0.3, 0),
    "dampening and clip_value": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, dampening=0.5), 0, 0.05),
    "adam": (torch.optim.Adam, dict(lr=0.01), 0, 0),
    "adamw": (torch.optim.AdamW, dict(lr=0.01, weight_decay=0.01), 0, 0),
    "adamw, other numbers": (torch.optim.AdamW, dict(lr=0.01, betas=(0.8, 0.999), eps=1e-5, weight_decay=0.1), 0, 0),
    "rmsprop": (torch.optim.RMSprop, dict(lr=0.005), 0, 0),
    "rmsprop, centred": (torch.optim.RMSprop, dict(lr=0.005, momentum=0.5, centered=True, eps=1e-3, weight_decay=0.01), 0, 0),
    "adagrad": (torch.optim.Adagrad, dict(lr=0.05), 0, 0),
    "adagrad, decaying": (torch.optim.Adagrad, dict(lr=0.05, lr_decay=0.01, eps=1e-6, weight_decay=0.001), 0, 0),
    "adadelta": (torch.optim.Adadelta, dict(lr=1.0), 0, 0),
}
start = f32(0.8 * np.sin(2.3 * np.arange(sum(np.prod(s) for s in SHAPES)) + 0.5))
print("/* Parameters of the trainee after 200 steps of PyTorch %s, in float64, as `python3 tests/scripts/torch_trajectories.py` wrote them. */"
      % torch.__version__)
print("static const struct {\n    const char *name;\n    double parameter[PARAMETERS];\n} torch_trajectory[] = {")
for name, (optimizer, options, norm, value) in cases.items():
    p, at = [], 0
    for s in SHAPES:
        n = int(np.prod(s))
        p.append(start[at:at + n].reshape(s).clone().requires_grad_())
        at += n
    options["lr"] = lr32(options["lr"])
    opt = optimizer(p, **options)
    for step in range(1, STEPS + 1):
        b = step % BATCHES
        x = f32(np.cos(1.9 * np.arange(ROWS * 3) + 5.1 * b)).reshape(ROWS, 3)
        y = f32(1.5 * np.sin(0.7 * np.arange(ROWS * 2) + 1.3 * b)).reshape(ROWS, 2)
        opt.zero_grad()
        torch.nn.functional.mse_loss(torch.tanh(x @ p[0].T + p[1]) @ p[2].T + p[3], y).backward()
        if value: torch.nn.utils.clip_grad_value_(p, value)
        if norm: torch.nn.utils.clip_grad_norm_(p, norm)
        opt.step()
    numbers = [f"{v:.8g}" for t in p for v in t.detach().reshape(-1).tolist()]
    print('    {"%s",\n     {%s}},' % (name, ", ".join(numbers)))
print("};")
