"""Lines of the kernel log that AMD's accelerator driver writes, each with a sample."""

from __future__ import annotations

from clusterctl.probes.kernel_lines import BDF, SCRAPER, Pattern

# Hygon's driver, made of AMD's, logs as hycu or hydcu: its lines are unproven.
AMDGPU = rf"(?:amdgpu|hyd?cu)(?: {BDF})?: (?:(?:amdgpu|hyd?cu): )?.*?"

AMD_LINES = (
    Pattern(
        "amdgpu",
        "poison",
        ("poison is consumed",),
        rf"{AMDGPU}poison is consumed by client",
        "amdgpu 0000:68:00.0: {14}poison is consumed by client 12, kick off gpu reset flow",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "bad_pages",
        ("Saved bad pages",),
        rf"{AMDGPU}Saved bad pages \d+ reaches threshold value",
        "amdgpu 0000:08:00.0: amdgpu: Saved bad pages 176 reaches threshold value 128",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "hardware_error",
        ("Accelerator Check Architecture",),
        rf"{AMDGPU}Accelerator Check Architecture events logged",
        "amdgpu 0000:48:00.0: {1}[Hardware Error]: Accelerator Check Architecture events logged",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "uncorrected",
        ("uncorrectable hardware errors",),
        rf"{AMDGPU}\d+ uncorrectable hardware errors detected in",
        "amdgpu 0000:c1:00.0: amdgpu: socket: 4, die: 0 1 uncorrectable hardware errors detected "
        "in total in gfx block",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "corrected",
        (" correctable hardware errors",),
        rf"{AMDGPU}\d+ correctable hardware errors detected in",
        "amdgpu 0000:c1:00.0: amdgpu: socket: 4, die: 0 1 correctable hardware errors detected in "
        "total in gfx block, no user action is needed.",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "deferred",
        (" deferred hardware errors",),
        rf"{AMDGPU}\d+ deferred hardware errors detected in",
        "amdgpu 0000:c1:00.0: amdgpu: socket: 4, die: 0 1 deferred hardware errors detected in "
        "total in umc block",
        "drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c",
    ),
    Pattern(
        "amdgpu",
        "poison_created",
        ("Poison is created",),
        rf"{AMDGPU}Poison is created",
        "amdgpu 0000:68:00.0: {15}Poison is created",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "bad_address",
        ("Error Address(PA)",),
        rf"{AMDGPU}Error Address\(PA\):0x",
        "amdgpu 0000:08:00.0: amdgpu: Error Address(PA):0x60d1a4480  Row:0x1834 Col:0x0  Bank:0x7 "
        "Channel:0x74",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "page_fault",
        ("retry page fault",),
        rf"{AMDGPU}\[\w+\] (?:no-)?retry page fault",
        "amdgpu 0000:f5:00.0: amdgpu: [mmhub0] no-retry page fault (src_id:0 ring:0 vmid:0 "
        "pasid:0, for process pid 0 thread pid 0)",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "queue_hang",
        ("qcm fence wait loop timeout", "timeout, signaled seq"),
        rf"{AMDGPU}(?:qcm fence wait loop timeout|ring [\w.]+ timeout, signaled seq)",
        "amdgpu: qcm fence wait loop timeout expired",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "throttled",
        ("GPU is throttled",),
        rf"{AMDGPU}WARN: GPU is throttled",
        "amdgpu 0000:c1:00.0: amdgpu: WARN: GPU is throttled, expect performance decrease.",
        "drivers/gpu/drm/amd/pm/swsmu/smu13/smu_v13_0_6_ppt.c",
    ),
    Pattern(
        "amdgpu",
        "firmware",
        ("Failed to disallow",),
        rf"{AMDGPU}Failed to disallow (?:cf|df) (?:c)?state",
        "amdgpu: Failed to disallow cf state",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "init_failed",
        ("Fatal error during GPU init", "w_init of IP block"),
        rf"(?:{AMDGPU}Fatal error during GPU init"
        r"|\[drm:amdgpu_.*\*ERROR\* [hs]w_init of IP block .* failed)",
        "amdgpu: Fatal error during GPU init",
        SCRAPER,
    ),
    Pattern(
        "amdgpu",
        "reset_failed",
        ("GPU reset(", "GPU reset failed", "Mode2 reset failed"),
        rf"{AMDGPU}(?:GPU reset(?:\(\d+\))? failed|Mode2 reset failed)",
        "amdgpu 0000:c1:00.0: amdgpu: GPU reset(3) failed",
        "drivers/gpu/drm/amd/amdgpu/amdgpu_device.c",
    ),
    Pattern(
        "amdgpu",
        "reset",
        ("GPU reset begin",),
        rf"{AMDGPU}GPU reset begin",
        "amdgpu 0000:c1:00.0: amdgpu: GPU reset begin!",
        "drivers/gpu/drm/amd/amdgpu/amdgpu_device.c",
    ),
)
