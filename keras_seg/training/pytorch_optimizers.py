"""AdamW, Adam and SGD that take PyTorch's steps, with a rate of its own for an encoder.

    AdamW: Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101, Algorithm 2
    Adam: Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, Algorithm 1

`keras.optimizers.MultiOptimizer` has no learning rate to read, and clips the gradients
of each of its optimizers by their own norm. `exclude_from_weight_decay` isn't saved
with a model. So the classes here keep one rate and one norm, and multiply the rate of
each variable by a factor.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_seg.labels import Tensor

_ENCODER = "encoder/"


class GroupedOptimizer(keras.optimizers.Optimizer):
    """Steps along a direction, at a rate and with a decay of each variable's own.

        weights -= factor * rate * (direction + weight_decay * weights)

    Args:
        learning_rate: A number or a schedule.
        encoder_rate: The factor of variables whose path begins with "encoder/".
        **options: Arguments of every Keras optimizer.
    """

    # Whether weight_decay * weights is added to the gradient instead.
    is_decay_in_gradient = False

    def __init__(
        self, learning_rate: Any, *, encoder_rate: float = 1.0, **options: Any
    ):
        super().__init__(learning_rate, **options)
        self.encoder_rate = encoder_rate

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        decay = self.weight_decay or 0.0
        self._decays = tuple(
            decay if _is_decayed(v) and self._use_weight_decay(v) else 0.0
            for v in variables
        )
        self._factors = tuple(
            self.encoder_rate if v.path.startswith(_ENCODER) else 1.0 for v in variables
        )
        self.build_moments(variables)

    def build_moments(self, variables: list[keras.Variable]) -> None:
        """Add what `direction` remembers of each variable."""
        raise NotImplementedError  # each optimizer has its own

    def direction(self, gradient: Tensor, index: int) -> Tensor:
        """What to subtract from a variable, for a learning rate of 1."""
        raise NotImplementedError  # each optimizer has its own

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate * self._factors[index], variable.dtype)
        decay = self._decays[index]
        if decay and self.is_decay_in_gradient:
            gradient = gradient + decay * variable
        elif decay:
            self.assign_sub(variable, rate * decay * variable)
        self.take_step(variable, gradient, index, rate)

    def take_step(self, variable: Any, gradient: Tensor, index: int, rate: Any) -> None:
        """Subtract the direction, times the rate of the variable."""
        self.assign_sub(variable, rate * self.direction(gradient, index))

    def stateless_apply(
        self,
        optimizer_variables: list[Any],
        grads: list[Any],
        trainable_variables: list[Any],
    ) -> tuple[list[Any], list[Any]]:
        # Keras's own, for JAX, wants all variables that the optimizer was built for;
        # but those of an encoder may be frozen at this time.
        variables = [v for v in self._trainable_variables if v.trainable]
        mapping = [
            *zip(variables, trainable_variables, strict=True),
            *zip(self.variables, optimizer_variables, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads, variables)
        current = scope.get_current_value
        return [*map(current, variables)], [*map(current, self.variables)]

    def _apply_weight_decay(self, variables: Any) -> None:
        """Nothing: Keras would decay all variables at one rate, before the step."""

    def _clip_gradients(self, gradients: list[Tensor]) -> list[Tensor]:
        # Keras clips what each replica has, and sums that; but the norm to be clipped
        # is the sum's. So sum first, and share the result for Keras to sum again.
        replicas = tf.distribute.get_replica_context()
        count = replicas.num_replicas_in_sync if replicas else 1
        if count == 1 or not self.global_clipnorm:
            return super()._clip_gradients(gradients)
        gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        return [g / count for g in super()._clip_gradients(gradients)]

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        # Averages are those of the variables that it was built for, frozen ones too.
        variables = self._trainable_variables
        super().finalize_variable_values(variables)
        if self.use_ema and keras.backend.backend() == "jax":
            # Weights and averages share memory now, and a step gives JAX both to reuse.
            for variable in variables:
                variable.assign(ops.copy(variable.value))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoder_rate": self.encoder_rate}


@keras.saving.register_keras_serializable(package="keras_seg")
class AdamW(GroupedOptimizer):
    """AdamW with a factor of the rate for the encoder, equal to PyTorch's.

        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient ** 2
        direction = m / (1 - 0.9 ** t) / (sqrt(v / (1 - 0.999 ** t)) + 1e-8)

    t is the number of the update of this variable, from 1. Keras's own counts all
    updates: a variable that was frozen for the first ones would then take steps up to
    six times too long. Keras's also adds its epsilon, 1e-7, to sqrt(v) before v is
    divided: in the first step that is as 3e-6 here.
    """

    def build_moments(self, variables: list[keras.Variable]) -> None:
        self._moments = self.add_optimizer_variables(variables, ["m", "v"])
        self._updates = [
            self.add_variable((), name=f"{v.path.replace('/', '_')}_updates")
            for v in variables
        ]

    def direction(self, gradient: Tensor, index: int) -> Tensor:
        m, v = (moments[index] for moments in self._moments)
        self.assign_add(m, 0.1 * (gradient - m))
        self.assign_add(v, 0.001 * (ops.square(gradient) - v))
        m_sum, v_root = (ops.cast(x, gradient.dtype) for x in self._corrections(index))
        return m / m_sum / (ops.sqrt(v) / v_root + 1e-8)

    def take_step(self, variable: Any, gradient: Tensor, index: int, rate: Any) -> None:
        if keras.backend.backend() != "tensorflow" or gradient.dtype != tf.float32:
            super().take_step(variable, gradient, index, rate)
            return
        # One pass over all numbers where the formulas make ten. It takes
        # lr * m / (sqrt(v) + epsilon), which is the direction times the rate.
        m_sum, v_root = self._corrections(index)
        m, v = (moments[index] for moments in self._moments)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(m),
            v=_handle(v),
            beta1_power=0.0,
            beta2_power=0.0,
            lr=rate * v_root / m_sum,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-8 * v_root,
            grad=gradient,
        )

    def _corrections(self, index: int) -> tuple[Tensor, Tensor]:
        """What m and sqrt(v) are divided by in this update of a variable."""
        self.assign_add(self._updates[index], 1.0)
        t = ops.convert_to_tensor(self._updates[index])
        # 1 - beta ** t without cancellation.
        m_sum, v_sum = (-ops.expm1(t * math.log(beta)) for beta in (0.9, 0.999))
        return m_sum, ops.sqrt(v_sum)


@keras.saving.register_keras_serializable(package="keras_seg")
class Adam(AdamW):
    """Adam with a factor of the rate for the encoder, equal to PyTorch's."""

    is_decay_in_gradient = True


@keras.saving.register_keras_serializable(package="keras_seg")
class SGD(GroupedOptimizer):
    """SGD with a factor of the rate for the encoder, equal to PyTorch's.

        m = 0.9 * m + gradient
        direction = m

    In Keras's own, m holds gradients times their rates: after the rate fell, it still
    takes longer steps.
    """

    is_decay_in_gradient = True

    def build_moments(self, variables: list[keras.Variable]) -> None:
        self._moments = self.add_optimizer_variables(variables, "momentum")

    def direction(self, gradient: Tensor, index: int) -> Tensor:
        m = self._moments[index]
        self.assign(m, 0.9 * m + gradient)
        return m


def _handle(variable: Any) -> Any:
    """What an operation of TensorFlow changes; under a strategy the replica's own."""
    if isinstance(variable, keras.Variable):
        variable = variable.value
    return variable.handle


def _is_decayed(variable: keras.Variable) -> bool:
    """Tell kernels from biases and the weights of normalization layers.

    Most of the latter are vectors. Attention has biases with two axes, though.
    """
    spared = any(word in variable.name for word in ("bias", "beta", "gamma"))
    return len(variable.shape) > 1 and not spared
