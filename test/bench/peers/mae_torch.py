"""The masked autoencoder's training step in eager PyTorch, as the peer that the compiled step is measured against.

    python mae_torch.py FOLDER --threads 2 --device cpu --dtype fp32

FOLDER holds index.json and raw little-endian arrays: the model's sizes, initial weights and one batch with its crops and
masks (written by ../torch-files.ts). So both peers start from the same numbers and do the same work in every step:
crop, standardise, mask, forward, backward, clipping by global norm, AdamW with decoupled decay.

The process stays: it answers each line of JSON on stdin with one line on stdout.
    {"do": "step"}                      one training step            -> {"loss", "ms", "peakRssBytes", "peakDeviceBytes"}
    {"do": "product", "side": 1024, "repeats": 5}   square products  -> {"ms": [...]}
    {"do": "profile"}                   own time of each operator    -> {"operators": [{"name", "shapes", "ms", "calls"}]}
Every answer has "processMs", the processor time taken so far. The first line says what the
process is: {"torch", "optimizer", "device", "idleRssBytes"}.

Only torch is needed. Letters in shapes: N images, L patches, V visible, M masked, P numbers in a patch, D encoder
width, W decoder width, T tokens.
"""

import argparse
import json
import resource
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DTYPES = {"float32": torch.float32, "int32": torch.int32, "uint8": torch.uint8}
NORM_EPSILON = 1e-6
VARIANCE_FLOOR = 1e-6
MLP_RATIO = 4


# --- the model, with timm's names ---------------------------------------------------------------------------------------


class PatchEmbed(nn.Module):
    def __init__(self, patch_length: int, width: int):
        super().__init__()
        self.proj = nn.Linear(patch_length, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = split.unbind(0)  # [N, h, T, d]
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width)

    def mix_tokens(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm1(x))

    def mix_channels(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm2(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix_channels(self.mix_tokens(x))


class MaskedAutoencoder(nn.Module):
    """He et al. 2022. Tokens stay in shuffled order in the decoder, as in the compiled step."""

    def __init__(self, index: dict, positions: Tensor, decoder_positions: Tensor):
        super().__init__()
        encoder, decoder = index["encoder"], index["decoder"]
        width, decoder_width = encoder["width"], decoder["width"]
        patch_length = encoder["patchPx"] ** 2 * encoder["channels"]
        self.visible = index["visible"]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(patch_length, width)
        self.blocks = nn.ModuleList(Block(width, encoder["heads"]) for _ in range(encoder["depth"]))
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.decoder_blocks = nn.ModuleList(Block(decoder_width, decoder["heads"]) for _ in range(decoder["depth"]))
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=NORM_EPSILON)
        self.decoder_pred = nn.Linear(decoder_width, patch_length)
        self.register_buffer("positions", positions, persistent=False)  # [L, D]
        self.register_buffer("decoder_positions", decoder_positions, persistent=False)  # [L, W]

    def forward(self, patches: Tensor, order: Tensor) -> Tensor:
        """Shuffled patches [N, L, P] and their order [N, L] -> the guess at the masked ones [N, M, P]."""
        latent = self.encode(patches[:, : self.visible], order[:, : self.visible])
        return self.decode(latent, order)

    def encode(self, patches: Tensor, order: Tensor) -> Tensor:
        x = self.patch_embed(patches) + self.positions[order]  # [N, V, D]
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # [N, 1 + V, D]

    def decode(self, latent: Tensor, order: Tensor) -> Tensor:
        where = self.decoder_positions[order]  # [N, L, W]
        x = self.decoder_embed(latent)
        visible = x[:, 1:] + where[:, : self.visible]
        masked = self.mask_token + where[:, self.visible :]
        x = torch.cat([x[:, :1], visible, masked], dim=1)  # [N, 1 + L, W]
        for block in self.decoder_blocks[:-1]:
            x = block(x)
        x = self.decoder_blocks[-1].mix_tokens(x)
        # Tokens do not meet any more: only those that count in the loss are worth the work, as in the compiled step.
        x = self.decoder_blocks[-1].mix_channels(x[:, 1 + self.visible :])  # [N, M, W]
        return self.decoder_pred(self.decoder_norm(x))


# --- the batch ----------------------------------------------------------------------------------------------------------


def crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows . image . columns^T: [N, C, H, W] -> [N, C, S, S]."""
    return rows[:, None] @ images @ columns[:, None].transpose(-1, -2)


def standardise(pixels: Tensor) -> Tensor:
    """Each image by its own mean and standard deviation."""
    unit = pixels / 255
    variance, mean = torch.var_mean(unit, dim=(1, 2, 3), correction=0, keepdim=True)
    return (unit - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


def patchify(images: Tensor, patch: int) -> Tensor:
    """[N, C, S, S] -> [N, L, P], patches row by row; inside a patch row, column, channel."""
    batch, channels, size, _ = images.shape
    grid = size // patch
    cut = images.view(batch, channels, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1)
    return cut.reshape(batch, grid * grid, patch * patch * channels)


def standardise_patches(patches: Tensor) -> Tensor:
    """By each patch's own mean and unbiased variance (He et al. 2022, section 4.1)."""
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


# --- the step -----------------------------------------------------------------------------------------------------------


class Step:
    def __init__(self, folder: Path, index: dict, device: torch.device, dtype: str, optimizer: str):
        self.index = index
        self.device = device
        self.batch = {name: read(folder, entry) for name, entry in index["inputs"].items()}
        if device.type == "cuda":
            self.batch = {name: tensor.pin_memory() for name, tensor in self.batch.items()}
        self.model = self.load_model(folder).to(device)
        self.optimizer_name = self.fastest_optimizer() if optimizer == "auto" else optimizer
        self.optimizer = self.make_optimizer(self.parameter_groups(self.model), self.optimizer_name)
        self.autocast = torch.autocast(device.type, torch.bfloat16) if dtype == "bf16" else nullcontext()

    def __call__(self) -> float:
        patches, order = self.prepare()
        with self.autocast:
            prediction = self.model(patches, order)
        target = patches[:, self.model.visible :]
        if self.index["normPixLoss"]:
            target = standardise_patches(target)
        loss = F.mse_loss(prediction.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.index["optimizer"]["clipGlobalNorm"], foreach=True)
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def prepare(self) -> tuple[Tensor, Tensor]:
        """What arrives with each batch goes to the device anew: -> shuffled patches [N, L, P], order [N, L]."""
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in self.batch.items()}
        pixels = batch["images"].permute(0, 3, 1, 2).float()
        images = standardise(crop(pixels, batch["cropRows"], batch["cropColumns"]))
        patches = patchify(images, self.index["encoder"]["patchPx"])
        order = batch["patchOrder"].long()
        starts = torch.arange(0, order.numel(), order.shape[1], device=self.device)
        shuffled = patches.flatten(0, 1).index_select(0, (starts[:, None] + order).flatten())
        return shuffled.view_as(patches), order

    def load_model(self, folder: Path) -> MaskedAutoencoder:
        model = MaskedAutoencoder(
            self.index,
            read(folder, self.index["positions"]),
            read(folder, self.index["decoderPositions"]),
        )
        flat = read(folder, self.index["weights"])
        state, offset = {}, 0
        for parameter in self.index["parameters"]:
            shape = parameter["shape"]
            length = torch.Size(shape).numel()
            values = flat[offset : offset + length].view(shape)
            offset += length
            # Ours are [in, out], nn.Linear's [out, in].
            state[parameter["name"]] = values.T.contiguous() if len(shape) == 2 else values
        model.load_state_dict(state)
        return model

    def parameter_groups(self, model: nn.Module) -> list[dict]:
        decays = {parameter["name"]: parameter["decay"] for parameter in self.index["parameters"]}
        named = list(model.named_parameters())
        decay = self.index["optimizer"]["weightDecay"]
        return [
            {"params": [p for name, p in named if decays[name]], "weight_decay": decay},
            {"params": [p for name, p in named if not decays[name]], "weight_decay": 0.0},
        ]

    def make_optimizer(self, groups: list[dict], name: str) -> torch.optim.Optimizer:
        settings = self.index["optimizer"]
        return torch.optim.AdamW(
            groups,
            lr=self.index["learningRate"],
            betas=(settings["beta1"], settings["beta2"]),
            eps=settings["epsilon"],
            **{name: True},
        )

    def fastest_optimizer(self) -> str:
        """Tries PyTorch's two quick forms of AdamW on copies of the weights."""
        times = {}
        for name in ("fused", "foreach"):
            groups = self.parameter_groups(self.model)
            for group in groups:
                group["params"] = [nn.Parameter(p.detach().clone()) for p in group["params"]]
                for p in group["params"]:
                    p.grad = torch.full_like(p, 1e-3)
            optimizer = self.make_optimizer(groups, name)
            optimizer.step()
            times[name] = min(timed(optimizer.step, self.device)[1] for _ in range(3))
        return min(times, key=times.__getitem__)


def read(folder: Path, entry: dict) -> Tensor:
    data = bytearray((folder / entry["file"]).read_bytes())
    return torch.frombuffer(data, dtype=DTYPES[entry["dtype"]]).view(entry["shape"])


# --- measuring ----------------------------------------------------------------------------------------------------------


def timed(work, device: torch.device):
    """-> (the result, wall milliseconds)"""
    synchronise(device)
    start = time.perf_counter()
    result = work()
    synchronise(device)
    return result, 1000 * (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def memory_bytes(field: str) -> int:
    """VmRSS or VmHWM. Elsewhere than on Linux the peak stands for both."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_step(step: Step, device: torch.device) -> dict:
    loss, ms = timed(step, device)
    peak_device = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return {"loss": loss, "ms": ms, "peakRssBytes": memory_bytes("VmHWM"), "peakDeviceBytes": peak_device}


def run_product(side: int, repeats: int, device: torch.device, dtype: str) -> dict:
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return {"ms": [timed(lambda: a @ b, device)[1] for _ in range(repeats)]}


def run_profile(step: Step, device: torch.device) -> dict:
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity], record_shapes=True) as profiler:
        step()
    operators = [
        {
            "name": average.key,
            "shapes": average.input_shapes,
            "ms": (average.self_device_time_total if on_gpu else average.self_cpu_time_total) / 1000,
            "calls": average.count,
        }
        for average in profiler.key_averages(group_by_input_shape=True)
    ]
    return {"operators": operators}


def main() -> None:
    idle = memory_bytes("VmRSS")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["fp32", "tf32", "bf16"], default="fp32")
    parser.add_argument("--optimizer", choices=["auto", "fused", "foreach"], default="auto")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high" if options.dtype == "tf32" else "highest")
    device = torch.device(options.device)
    index = json.loads((options.folder / "index.json").read_text())
    step = Step(options.folder, index, device, options.dtype, options.optimizer)

    def answer(reply: dict) -> None:
        print(json.dumps({**reply, "processMs": 1000 * time.process_time()}), flush=True)

    answer(
        {
            "torch": torch.__version__,
            "optimizer": step.optimizer_name,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "idleRssBytes": idle,
        }
    )
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "step":
            answer(run_step(step, device))
        elif request["do"] == "product":
            answer(run_product(request["side"], request["repeats"], device, options.dtype))
        elif request["do"] == "profile":
            answer(run_profile(step, device))
        else:
            raise SystemExit(f"unknown request {request['do']}")


if __name__ == "__main__":
    main()
