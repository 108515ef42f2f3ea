"""The device files that a job holds while it uses an accelerator.

NVIDIA: README of the driver, "How and when are the NVIDIA device files created?".  Huawei: Ascend
docker runtime, /dev/davinci0.  AMD and Hygon: ROCm, "Running ROCm Docker containers", /dev/kfd.
Cambricon, Iluvatar, Enflame, Kunlunxin: what their Kubernetes device plugins hand to a container.
"""

from __future__ import annotations

NVIDIA = ("/dev/nvidia[0-9]*",)
ANY = (
    *NVIDIA,
    "/dev/davinci[0-9]*",
    "/dev/kfd",
    "/dev/mkfd",
    "/dev/cambricon_dev[0-9]*",
    "/dev/iluvatar[0-9]*",
    "/dev/gcu[0-9]*",
    "/dev/xpu[0-9]*",
)
# README of NVIDIA's driver, "The /proc interface": the BIOS version is only there while the GPU is
# initialised.  With persistence off, asking would start it, and a job beside it waits meanwhile.
NVIDIA_ASLEEP = ("/proc/driver/nvidia/gpus/*/information", "??.??")
