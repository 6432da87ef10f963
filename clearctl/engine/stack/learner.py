"""Trains and tests R runs as one batched model."""

from collections.abc import Callable, Iterator, Sequence

import torch

from clearctl.engine.stack.captured import CapturedStep, is_captured
from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import Heads, Penalty, losses, numbers, of_each_run, stacked
from clearctl.engine.stack.member import Member
from clearctl.engine.stack.optimize import STEPPERS
from clearctl.engine.stack.penalties import LwFPenalty, QuadraticPenalty
from clearctl.engine.stack.step import Step, counted
from clearctl.strategies.lockstep import Tensors
from clearctl.strategies.watching.batch import BatchResult


class Learner:
    """Trains the R `members` of a stack for one bucket, on copies of their weights and optimizer states.

    The batches of all members must have the same sizes. Each `sharing` consecutive members are expected to have the
    same batches.
    """

    def __init__(self, members: Sequence[Member], features: Features, sharing: int = 1) -> None:
        self.members = members
        self.sharing = sharing
        self.features = features
        self.device = features.x.device
        cosine = members[0].temperature is not None
        loss_weights = [member.loss_weight for member in members]
        self.heads = Heads(
            stacked([member.weights() for member in members], self.device),
            numbers([member.temperature or 0 for member in members], self.device) if cosine else None,
            numbers(loss_weights, self.device) if any(weight != 1 for weight in loss_weights) else None,
        )
        self.weights = self.heads.weights

    def learn(self, epochs: int, epoch_done: Callable[[], None]) -> None:
        """Train on the bucket that all members have started, and copy the results back to them."""
        kind = STEPPERS[type(self.members[0].optimizer).__name__]
        stepper = kind(list(self.weights.values()), [member.optimizer_states() for member in self.members])
        trajectories = self._trajectories()
        plain = Step(self.features, self.heads, self._penalties(), stepper, trajectories)
        captures = is_captured(self.members[0].settings.data, self.device)
        step = CapturedStep(plain, self.device) if captures else plain
        best = {name: weight.clone() for name, weight in self.weights.items()}
        kept = [False] * len(self.members)
        for _ in range(epochs):
            orders = [member.begin_epoch() for member in self.members]
            stepper.set_options([member.optimizer.param_groups[0] for member in self.members])
            memories = [member.memory_rows(len(order)) for member, order in zip(self.members, orders, strict=True)]
            gave = [step(*batch) for batch in self._batches_of(orders, memories)]
            sizes = [len(batch) for batch in orders[0]]
            for member, batches, finite in zip(self.members, _batches(gave, sizes), self._finite(), strict=True):
                member.end_epoch(batches, finite)
            for index, member in enumerate(self.members):
                if member.lockstep.epoch_is_best:
                    kept[index] = True
                    for name, weight in self.weights.items():
                        best[name][index].copy_(weight[index])
            epoch_done()
        for index in (index for index, is_kept in enumerate(kept) if is_kept):
            for name, weight in self.weights.items():
                weight[index].copy_(best[name][index])
        learned = {name: weight.cpu() for name, weight in self.weights.items()}
        for index, (member, states) in enumerate(zip(self.members, stepper.states(), strict=True)):
            weights = {name: weight[index] for name, weight in learned.items()}
            member.write_back(weights, states)
            member.lockstep.give_best(weights)
        self._give_importances()
        if trajectories is not None:
            for index, member in enumerate(self.members):
                member.lockstep.give_trajectories({name: value[index].cpu() for name, value in trajectories.items()})

    def test(self, rows: Sequence[torch.Tensor], batch_size: int) -> list[list[BatchResult]]:
        """The tested batches of each member, on its `rows [N]`; N is the same for all."""
        same = all(torch.equal(rows[0], other) for other in rows[1:])
        orders = [torch.split(each, batch_size) for each in (rows[:1] if same else rows)]
        gave = []
        with torch.no_grad():
            for chosen, y in self.features.batches(orders):
                found = self.heads.scores(self.features.take(chosen))
                y = of_each_run(y, len(found))
                gave.append(counted(found, y, losses(found, y, self.heads.loss_weights)))
        return _batches(gave, [len(batch) for batch in orders[0]])

    def _batches_of(
        self, orders: Sequence[Sequence[torch.Tensor]], memories: Sequence[Sequence[torch.Tensor]]
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yields the arguments of a `Step` for each batch of an epoch; `memories` are empty or as long as `orders`."""
        batches = self.features.batches(self._distinct(orders))
        if not memories[0]:
            yield from batches
            return
        for batch, memory in zip(batches, self.features.batches(self._distinct(memories)), strict=True):
            yield (*batch, *memory)

    def _trajectories(self) -> Tensors | None:
        """Zeros to add to, if the members need trajectories."""
        if not self.members[0].lockstep.wants_trajectories:
            return None
        return {name: torch.zeros_like(weight) for name, weight in self.weights.items()}

    def _distinct(self, orders: Sequence[Sequence[torch.Tensor]]) -> Sequence[Sequence[torch.Tensor]]:
        """One order for each group of `sharing` members, if all members of a group have the same; else all orders."""
        together = [orders[first : first + self.sharing] for first in range(0, len(orders), self.sharing)]
        for first, *others in together:
            for other in others:
                if len(other) != len(first) or not all(map(torch.equal, first, other)):
                    return orders
        return orders[:: self.sharing]

    def _finite(self) -> list[bool]:
        """Whether the weights of each member are finite."""
        found: list[bool] = torch.stack([w.flatten(1).isfinite().all(1) for w in self.weights.values()]).all(0).tolist()
        return found

    def _penalties(self) -> list[Penalty]:
        found: list[Penalty] = []
        locksteps = [member.lockstep for member in self.members]
        lwf_terms = [one for one in (lockstep.lwf_term() for lockstep in locksteps) if one]
        if lwf_terms:
            found.append(LwFPenalty.of(lwf_terms, self.heads.temperature, self.device))
        for terms in ([one.ewc_term() for one in locksteps], [one.si_term() for one in locksteps]):
            quadratic = [term for term in terms if term]
            if quadratic:
                found.append(QuadraticPenalty.of(quadratic, self.device))
        return found

    def _give_importances(self) -> None:
        """Give EWC the importances it needs at the end of the bucket: Avalanche's, of batches in the bucket's order."""
        if not self.members[0].lockstep.wants_importances:
            return
        parts = [torch.split(member.bucket_rows(), self.members[0].batch_size) for member in self.members]
        sums = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        for rows, y in self.features.batches(self._distinct(parts)):
            _, _, gradients = self.heads.gradients(self.features.take(rows), of_each_run(y, len(self.members)))
            for name, gradient in zip(sums, gradients, strict=True):
                sums[name] += gradient.square()
        means = {name: (value / len(parts[0])).cpu() for name, value in sums.items()}
        for index, member in enumerate(self.members):
            member.lockstep.give_importances({name: value[index].clone() for name, value in means.items()})


def _batches(gave: Sequence[torch.Tensor], sizes: Sequence[int]) -> list[list[BatchResult]]:
    """The batches of each run, from the `counted` of each batch of all runs. Synchronizes with the device, once."""
    every = torch.stack(list(gave)).cpu()  # [steps, 2, R]
    return [
        [
            BatchResult(loss, int(right), size)
            for (loss, right), size in zip(every[:, :, run].tolist(), sizes, strict=True)
        ]
        for run in range(every.shape[2])
    ]
