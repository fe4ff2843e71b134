"""Nets in PyTorch: of its packages, and two papers'."""

from typing import Any


def parameters(net: Any) -> int:
    """How many numbers a net learns."""
    return sum(p.numel() for p in net.parameters())


def smp_net(classes: int, net: str, encoder: str) -> Any:
    """A net of segmentation_models_pytorch."""
    import segmentation_models_pytorch as smp

    return getattr(smp, net)(encoder, encoder_weights=None, classes=classes)


def torchvision_net(classes: int, net: str) -> Any:
    """A net of torchvision."""
    import torchvision

    build = getattr(torchvision.models.segmentation, net)
    return build(weights=None, weights_backbone=None, num_classes=classes)


def paper_unet(classes: int) -> Any:
    """The U-Net of the paper with padded convolutions."""
    import torch
    from torch import nn

    widths = (64, 128, 256, 512, 1024)

    def double(inner: int, outer: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
            self.down = nn.ModuleList(
                double(i, o) for i, o in zip((3, *widths), widths, strict=False)
            )
            self.scale = nn.ModuleList(
                nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in pairs
            )
            self.up = nn.ModuleList(double(2 * above, above) for _, above in pairs)
            self.logits = nn.Conv2d(widths[0], classes, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for level, convolutions in enumerate(self.down):
                x = convolutions(nn.functional.max_pool2d(x, 2) if level else x)
                skips.append(x)
            skips.pop()
            for scale, convolutions in zip(self.scale, self.up, strict=True):
                x = convolutions(torch.cat([skips.pop(), scale(x)], dim=1))
            return self.logits(x)

    net = UNet()
    assert classes != 21 or parameters(net) == 31_033_045
    return net


def vgg_fcn8s(classes: int) -> Any:
    """FCN-8s of the paper, with padded convolutions, as `keras_seg.fcn8s`."""
    import torch
    from torch import nn

    def block(inner: int, outer: int, count: int) -> Any:
        parts: list[Any] = []
        for k in range(count):
            conv = nn.Conv2d(outer if k else inner, outer, 3, padding=1)
            parts += [conv, nn.ReLU(inplace=True)]
        return nn.Sequential(*parts, nn.MaxPool2d(2, ceil_mode=True))

    def enlarge(factor: int) -> Any:
        kernel = {"kernel_size": 2 * factor, "padding": factor // 2, "bias": False}
        return nn.ConvTranspose2d(classes, classes, stride=factor, **kernel)

    class FCN8s(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (3, 64, 128, 256, 512, 512)
            self.blocks = nn.ModuleList(
                block(widths[k], widths[k + 1], count)
                for k, count in enumerate((2, 2, 3, 3, 3))
            )
            self.head = nn.Sequential(
                *(nn.Conv2d(512, 4096, 7, padding=3), nn.ReLU(inplace=True)),
                *(nn.Dropout(), nn.Conv2d(4096, 4096, 1), nn.ReLU(inplace=True)),
                *(nn.Dropout(), nn.Conv2d(4096, classes, 1)),
            )
            self.score4 = nn.Conv2d(512, classes, 1)
            self.score3 = nn.Conv2d(256, classes, 1)
            self.twice = nn.ModuleList([enlarge(2), enlarge(2)])
            self.finish = enlarge(8)

        def forward(self, x: Any) -> Any:
            pools = []
            for block in self.blocks:
                x = block(x)
                pools.append(x)
            x = self.twice[0](self.head(x)) + self.score4(pools[3])
            x = self.twice[1](x) + self.score3(pools[2])
            return self.finish(x)

    net = FCN8s()
    assert classes != 21 or parameters(net) == 134_489_759
    assert net.eval()(torch.zeros(1, 3, 32, 64)).shape == (1, classes, 32, 64)
    return net
