"""The sound of a clip as a log-mel spectrogram: from a wav file beside the video, or from its sound track."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import av
import numpy as np
import torch
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor
from torch.nn import functional as F
from torchaudio.transforms import MelSpectrogram

from benchmark.data.loading import Unusable
from benchmark.data.locating import irregular

RATE = 16000
LOWEST_RATE, HIGHEST_RATE = 1000, 384000
"""A wav file beyond these has a damaged header."""

WINDOW, HOP = 400, 160
"""25 ms and 10 ms, in samples."""

MELS, LOWEST = 64, 60.0
"""Mel bands, from LOWEST Hz to half the rate."""

FRAMES = 128
"""Frames of a clip, whatever its length: evenly over it, as those of the video are."""

FLOOR = 1e-6
"""Added to the power before the logarithm; silence is log(FLOOR)."""


def read_wav(file: Path) -> Tensor:
    """A wav file of integers or floats, mono at RATE, [samples] float32 in -1..1. Raises Unusable."""
    if problem := irregular(file):
        raise Unusable(file, problem)
    try:
        with warnings.catch_warnings():
            # Chunks that hold no sound (tags of editors) are none of our business.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            rate, samples = wavfile.read(file)
    except wavfile.WavFileWarning as error:
        raise Unusable(file, "is shorter than its header says") from error
    except Exception as error:
        # Damaged headers surface as nearly any exception: struct.error, ValueError, EOFError, MemoryError.
        raise Unusable(file, "is damaged, or no wav file of plain samples") from error
    if not samples.size:
        raise Unusable(file, "holds no sound")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise Unusable(file, f"states a rate of {rate} samples per second")
    if samples.dtype == np.uint8:
        scaled = (samples.astype(np.float32) - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        scaled = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    else:
        scaled = samples.astype(np.float32)
    if not np.isfinite(scaled).all():
        raise Unusable(file, "holds values that are not finite")
    mono = scaled.reshape(len(scaled), -1).mean(axis=1)
    common = math.gcd(rate, RATE)
    return torch.from_numpy(resample_poly(mono, RATE // common, rate // common))


def read_track(video: Path) -> Tensor | None:
    """The first sound track of a video file, as `read_wav` gives it; None where it has none or an empty one.

    Raises Unusable.
    """
    try:
        with av.open(str(video)) as container:
            if not container.streams.audio:
                return None
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            parts = [
                part.to_ndarray()[0]
                for frame in (*container.decode(audio=0), None)
                for part in resampler.resample(frame)
            ]
    # What a damaged file makes FFmpeg misread surfaces as nearly any exception.
    except Exception as error:
        raise Unusable(video, "its sound track can't be decoded") from error
    samples = np.concatenate([np.empty(0, np.float32), *parts])
    return torch.from_numpy(samples) if samples.size else None


def log_mel(waveform: Tensor) -> np.ndarray:
    """Natural logarithm of the mel power spectrogram, [MELS, FRAMES] float32.

    waveform [samples] at RATE. The power is averaged over time to FRAMES frames, or repeated where the clip
    is shorter, before the logarithm is taken.
    """
    spectrogram = MelSpectrogram(
        RATE, n_fft=WINDOW, hop_length=HOP, f_min=LOWEST, n_mels=MELS, pad_mode="constant"
    )
    power = F.adaptive_avg_pool1d(spectrogram(waveform), FRAMES)
    return torch.log(power + FLOOR).numpy()
