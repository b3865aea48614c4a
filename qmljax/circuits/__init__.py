"""Circuits of the QML literature that Qiskit's library does not have. They are ordinary `QuantumCircuit` objects.

Features are the `ParameterVector` x, weights w; compose an embedding with an ansatz. `n` is the number of qubits. A
paper's wire k is qubit k, which PennyLane counts from the other end of an index: its matrices are those of
``circuit.reverse_bits()``.
"""

from qmljax.circuits._amplitudes import AmplitudeEncoding as AmplitudeEncoding
from qmljax.circuits._amplitudes import raw_feature_vector as raw_feature_vector
from qmljax.circuits._embeddings import angle_embedding as angle_embedding
from qmljax.circuits._embeddings import data_reuploading as data_reuploading
from qmljax.circuits._embeddings import hamiltonian_feature_map as hamiltonian_feature_map
from qmljax.circuits._embeddings import iqp_embedding as iqp_embedding
from qmljax.circuits._embeddings import qaoa_embedding as qaoa_embedding
from qmljax.circuits._layers import basic_entangler_layers as basic_entangler_layers
from qmljax.circuits._layers import brickwork as brickwork
from qmljax.circuits._layers import strongly_entangling_layers as strongly_entangling_layers
from qmljax.circuits._networks import matrix_product as matrix_product
from qmljax.circuits._networks import mera as mera
from qmljax.circuits._networks import qcnn as qcnn
from qmljax.circuits._networks import tree_tensor_network as tree_tensor_network
