"""What the PyTorch programs of this folder share: a class folder in MVTec AD's layout, the network, and the line that they print.

needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scikit-learn pillow safetensors
"""
import glob, os, resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np, torch, torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

THREADS = int(os.environ.get("THREADS", "2"))
torch.set_num_threads(THREADS)
DEVICE = os.environ.get("DEVICE", "cpu")  # of everything that is not said to be on the host
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
POOL, AHEAD = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(1)  # images in parallel, and one batch ahead of the network
MEAN = torch.tensor([0.485, 0.456, 0.406], device="cpu")[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225], device="cpu")[:, None, None]
FILTER = {"lanczos": Image.LANCZOS, "bilinear": Image.BILINEAR, "nearest": Image.NEAREST}


def network(weights):
    """ResNet-18 in evaluation, channels-last, of torchvision-named weights (.safetensors or .pt), or 'random'."""
    net = torchvision.models.resnet18()
    if weights != "random":
        state = load_file(weights) if weights.endswith(".safetensors") else torch.load(weights)
        got = net.load_state_dict({k: v for k, v in state.items() if not k.startswith(("fc.", "projection."))}, strict=False)
        assert not got.unexpected_keys and set(got.missing_keys) <= {"fc.weight", "fc.bias"}, got
    return net.eval().to(DEVICE, memory_format=torch.channels_last)


def done():
    """Waits for what a GPU was given: before a clock is read."""
    if DEVICE != "cpu":
        torch.cuda.synchronize()


class Class:
    """The images of one class. exact: resize to a square of this side; or shorter and crop. resample names the filter."""

    def __init__(self, folder, shorter=None, crop=None, exact=None, resample="bilinear", normalize=True):
        ls = lambda p: sorted(f for f in glob.glob(p) if f.endswith((".png", ".jpg", ".bmp")))
        self.name, self.folder = os.path.basename(folder.rstrip("/")), folder
        self.shorter, self.crop, self.exact, self.resample, self.normalize = shorter, crop, exact, resample, normalize
        self.train = ls(folder + "/train/good/*")
        kinds = [(f, k) for k in sorted(os.listdir(folder + "/test")) for f in ls(f"{folder}/test/{k}/*")]
        self.test, self.kinds = [f for f, _ in kinds], [k for _, k in kinds]

    def view(self, im, resample):
        if self.exact:
            return im.resize((self.exact, self.exact), resample)
        w, h = im.size
        s = self.shorter
        im = im.resize((s, int(s * h / w)) if w < h else (int(s * w / h), s), resample)
        l, t = round((im.size[0] - self.crop) / 2), round((im.size[1] - self.crop) / 2)
        return im.crop((l, t, l + self.crop, t + self.crop))

    def load(self, files):
        """[N, 3, H, W]"""
        return torch.stack(list(POOL.map(self.one, files))).to(DEVICE)

    def one(self, f):
        im = self.view(Image.open(f).convert("RGB"), FILTER[self.resample])
        x = torch.from_numpy(np.array(im)).permute(2, 0, 1).float() / 255
        return (x - MEAN) / STD if self.normalize else x

    def batches(self, files, n):
        """Batches of at most n images, channels-last; the next one is read meanwhile."""
        cut = [files[i:i + n] for i in range(0, len(files), n)]
        following = AHEAD.submit(self.load, cut[0])
        for later in cut[1:] + [None]:
            x = following.result()
            following = AHEAD.submit(self.load, later) if later else None
            yield x.contiguous(memory_format=torch.channels_last)

    def masks(self, resample):
        """Boolean masks of the test images in their order; None where the class has none."""
        if not os.path.isdir(self.folder + "/ground_truth"):
            return None
        out = []
        side = self.exact or self.crop
        for f, k in zip(self.test, self.kinds):
            if k == "good":
                out.append(np.zeros((side, side), bool))
                continue
            name = os.path.splitext(os.path.basename(f))[0]
            m = Image.open(f"{self.folder}/ground_truth/{k}/{name}_mask.png").convert("L")
            out.append(np.array(self.view(m, FILTER[resample])) > 127)
        return out


def gaussians(batches, positions, channels):
    """Mean [positions, 1, channels] and inverse covariance of batches [positions, N, channels], as PaDiM has them."""
    n, s, q, shift = 0, 0, torch.zeros(positions, channels, channels), None  # less the mean of the first batch, float32 is enough for the sums
    for e in batches:
        shift = e.mean(1, keepdim=True) if shift is None else shift
        e = e - shift
        n, s = n + e.shape[1], s + e.sum(1)
        q.baddbmm_(e.transpose(1, 2), e)
    d = (s / n).double()
    cov = (q.double() - n * d[:, :, None] * d[:, None, :]) / (n - 1) + 0.01 * torch.eye(channels, dtype=torch.float64)
    return (shift[:, 0] + s / n)[:, None], torch.linalg.inv(cov).float()


def report(c, scores, maps, fit, score, masks="nearest"):
    """Prints the class's line; fit and score are images a second. masks names the filter that brings them to the maps' size."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # before the figures, which are no part of it
    image = roc_auc_score([k != "good" for k in c.kinds], scores)
    truth, pixel = c.masks(masks), float("nan")
    if truth is not None:
        pixel = roc_auc_score(np.concatenate([m.ravel() for m in truth]), np.concatenate([m.ravel() for m in maps]))
    print(f"{c.name:14s} image {100*image:6.2f} pixel {100*pixel:6.2f}  fit {fit:6.2f} img/s  score {score:6.1f} img/s  rss {rss} MB", flush=True)
