"""A contact sheet of the embedded motions: what the camera, the tracker and the microphone have of each."""

from __future__ import annotations

import cv2
import numpy as np

from tasks.synthetic.motion.figure import BONES, JOINTS
from tasks.synthetic.motion.performances import CLASSES, SEED, motions
from tasks.synthetic.preview import caption, preview

ROW = 96
"""Height of a row in pixels."""

NAME_WIDTH, SOUND_WIDTH = 110, 192
SHOWN = slice(0, 12, 2)
COLOURS = {"left": (190, 90, 0), "right": (30, 30, 210)}
"""Blue and red, as OpenCV orders channels; trunk and head are black."""


def contact_sheet(subject: int = 1, seed: int = SEED) -> np.ndarray:
    """A picture, uint8 [H, W, 3] RGB: a row per action with its name, six frames of the skeleton and of the
    video at the same moments, and the log-mel spectrogram (low pitch at the bottom).
    """
    clips = motions(range(subject, subject + 1), 1, seed)
    return np.concatenate([_row(clips, number) for number in range(len(CLASSES))])[..., ::-1]


def _row(clips: dict[str, np.ndarray], number: int) -> np.ndarray:
    name = caption(CLASSES[int(clips["label"][number])], ROW, NAME_WIDTH)
    video = clips["video"][number, 0]
    joints = clips["skeleton"][number].T.reshape(-1, len(JOINTS), 3)
    moments = np.arange(len(video))[SHOWN] * len(joints) // len(video)
    size = (ROW * video.shape[2] // video.shape[1], ROW)
    frames = [cv2.resize(each, size, interpolation=cv2.INTER_NEAREST) for each in video[SHOWN]]
    sound = clips["audio"][number][::-1]
    sound = cv2.normalize(sound, np.empty_like(sound), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    sound = cv2.resize(sound, (SOUND_WIDTH, ROW), interpolation=cv2.INTER_NEAREST)
    drawn = [_skeleton(joints[moment]) for moment in moments]
    seen = [cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) for frame in frames]
    row = np.concatenate([name, *drawn, *seen, cv2.applyColorMap(sound, cv2.COLORMAP_MAGMA)], axis=1)
    row[-1] = 128
    return row


def _skeleton(joints: np.ndarray) -> np.ndarray:
    """One frame of joints [J, 3], in trunks from the mean pelvis, as the camera faces it."""
    canvas = np.full((ROW, ROW, 3), 255, np.uint8)
    points = np.round(joints[:, 1:] * [1, -1] * ROW / 4.8 + ROW / 2).astype(int)
    for parent, joint in BONES:
        colour = COLOURS.get(JOINTS[joint].split()[0], (0, 0, 0))
        cv2.line(canvas, points[parent].tolist(), points[joint].tolist(), colour, 2, cv2.LINE_AA)
    cv2.circle(canvas, points[JOINTS.index("head")].tolist(), 4, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
    return canvas


if __name__ == "__main__":
    preview("Draws embedded motions: skeleton, video and log-mel spectrogram of an action.", contact_sheet)
