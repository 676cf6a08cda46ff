"""Muon, an optimiser: momentum steps of convolution kernels made orthogonal, Adam for everything else."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# A Newton-Schulz iteration x -> a x + b (x x') x + c (x x')^2 x that brings singular values near 1 quickly rather than
# exactly. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
# https://kellerjordan.github.io/posts/muon
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 3
MOMENTUM = 0.9
BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8  # Adam's


class Muon(keras.optimizers.Optimizer):
    """Muon on kernels of convolutions after the first, Adam on the rest.

    A gradient's large singular values drown its small ones; setting them all to about 1 lets every direction learn.
    Keras's own Muon takes only matrices, and a convolution's kernel has four axes: here (height, width, in, out) is
    taken as a matrix of height·width·in rows. The first convolution, with its single input channel, stays with Adam
    as the reference advises for first and last layers. `ratio` times the learning rate is Muon's own.
    """

    def __init__(self, learning_rate: float, ratio: float = 6.0) -> None:
        super().__init__(learning_rate=learning_rate, name="muon")
        self.ratio = ratio

    def build(self, variables: list[keras.Variable]) -> None:
        """Make room for the moments of each variable."""
        if self.built:
            return
        super().build(variables)
        self.first = [self.add_variable_from_reference(v, "first_moment") for v in variables]
        self.second = [self.add_variable_from_reference(v, "second_moment") for v in variables]

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """One step of one variable, called by Keras."""
        index = self._get_variable_index(variable)
        first, second = self.first[index], self.second[index]
        if len(variable.shape) == 4 and variable.shape[2] > 1:
            first.assign(MOMENTUM * first + (1 - MOMENTUM) * gradient)
            direction = MOMENTUM * first + (1 - MOMENTUM) * gradient  # Nesterov's
            matrix = tf.reshape(direction, (-1, variable.shape[-1]))
            step = self.ratio * tf.reshape(orthogonal(matrix), variable.shape)
        else:
            count = tf.cast(self.iterations + 1, tf.float32)
            first.assign(BETA_1 * first + (1 - BETA_1) * gradient)
            second.assign(BETA_2 * second + (1 - BETA_2) * gradient**2)
            mean, square = first / (1 - BETA_1**count), second / (1 - BETA_2**count)
            step = mean / (tf.sqrt(square) + EPSILON)
        variable.assign_sub(learning_rate * step)


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """`matrix` (rows, columns) with its singular values brought near 1, its singular vectors kept.

    Meant for rows >= columns; with fewer it works, on a larger product than need be.
    """
    x = matrix / (tf.norm(matrix) + 1e-7)  # the iteration converges for singular values of at most 1
    for _ in range(ITERATIONS):
        square = tf.matmul(x, x, transpose_a=True)
        x = A * x + tf.matmul(x, B * square + C * tf.matmul(square, square))
    # The reference gives wide matrices larger steps: here a factor of 1, for kernels are tall.
    return x
