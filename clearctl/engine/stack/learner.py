"""R runs that learn a bucket as one batched model, and R runs that are tested as one."""

from collections.abc import Callable, Sequence

import torch

from clearctl.engine.stack.captured import CapturedStep, is_captured
from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import EWCPenalty, Heads, LwFPenalty, Penalty, losses, numbers, of_each_run, stacked
from clearctl.engine.stack.member import Member
from clearctl.engine.stack.optimize import STEPPERS
from clearctl.engine.stack.step import Step, counted
from clearctl.strategies.watching.batch import BatchResult


class Learner:
    """The `members` of a stack, R of them, between two buckets: weights and optimizers are copies of their own.

    The batches of all members must have the same sizes. Each `sharing` of them that lie one after another are expected
    to learn the very same batches.
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
        """Learn the bucket that all members have begun, and leave them with what they learned."""
        kind = STEPPERS[type(self.members[0].optimizer).__name__]
        stepper = kind(list(self.weights.values()), [member.optimizer_states() for member in self.members])
        plain = Step(self.features, self.heads, self._penalties(), stepper)
        captures = is_captured(self.members[0].settings.data, self.device)
        step = CapturedStep(plain, self.device) if captures else plain
        best = {name: weight.clone() for name, weight in self.weights.items()}
        kept = [False] * len(self.members)
        for _ in range(epochs):
            orders = [member.begin_epoch() for member in self.members]
            stepper.set_options([member.optimizer.param_groups[0] for member in self.members])
            gave = [step(rows, y) for rows, y in self.features.batches(self._distinct(orders))]
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

    def test(self, rows: Sequence[torch.Tensor], batch_size: int) -> list[list[BatchResult]]:
        """The batches of each member's test on its `rows [N]`, all as many."""
        same = all(torch.equal(rows[0], other) for other in rows[1:])
        orders = [torch.split(each, batch_size) for each in (rows[:1] if same else rows)]
        gave = []
        with torch.no_grad():
            for chosen, y in self.features.batches(orders):
                found = self.heads.scores(self.features.take(chosen))
                y = of_each_run(y, len(found))
                gave.append(counted(found, y, losses(found, y, self.heads.loss_weights)))
        return _batches(gave, [len(batch) for batch in orders[0]])

    def _distinct(self, orders: Sequence[Sequence[torch.Tensor]]) -> Sequence[Sequence[torch.Tensor]]:
        """The orders of those that share none, where all share as expected; else all."""
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
        lwf_terms = [member.lockstep.lwf_term() for member in self.members]
        ewc_term = [member.lockstep.ewc_term() for member in self.members]
        if lwf_terms[0] is not None:
            found.append(LwFPenalty.of([one for one in lwf_terms if one], self.heads.temperature, self.device))
        if ewc_term[0] is not None:
            found.append(EWCPenalty.of([one for one in ewc_term if one], self.device))
        return found

    def _give_importances(self) -> None:
        """What EWC will ask for at the end of the bucket: as Avalanche's, of batches in the bucket's own order."""
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
    """The batches of each run, of what each batch of all runs gave. This waits for the device, once."""
    every = torch.stack(list(gave)).cpu()  # [steps, 2, R]
    return [
        [
            BatchResult(loss, int(right), size)
            for (loss, right), size in zip(every[:, :, run].tolist(), sizes, strict=True)
        ]
        for run in range(every.shape[2])
    ]
