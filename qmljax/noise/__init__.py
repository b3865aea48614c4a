"""Noise: channels, models of devices, and simulators that run circuits under them."""

from qmljax.noise._channel import Channel as Channel
from qmljax.noise._channels import amplitude_damping as amplitude_damping
from qmljax.noise._channels import bit_flip as bit_flip
from qmljax.noise._channels import depolarizing as depolarizing
from qmljax.noise._channels import kraus as kraus
from qmljax.noise._channels import pauli as pauli
from qmljax.noise._channels import phase_damping as phase_damping
from qmljax.noise._channels import phase_flip as phase_flip
from qmljax.noise._channels import thermal_relaxation as thermal_relaxation
from qmljax.noise._devices import Idle as Idle
from qmljax.noise._model import NoiseModel as NoiseModel
from qmljax.noise._simulator import Simulator as Simulator
