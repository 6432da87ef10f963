"""R runs that learn a bucket as one batched model, and R runs that are tested as one."""

from collections.abc import Callable, Sequence

import torch

from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import EWCPenalty, LwFPenalty, Penalty, losses, numbers, scores, stacked
from clearctl.engine.stack.member import Member
from clearctl.engine.stack.optimize import STEPPERS
from clearctl.strategies.loading.rows import to_device
from clearctl.strategies.watching.batch import BatchResult


class Learner:
    """The `members` of a stack, R of them, between two buckets: weights and optimizers are copies of their own.

    The batches of all members must have the same sizes.
    """

    def __init__(self, members: Sequence[Member], features: Features) -> None:
        self.members = members
        self.features = features
        self.device = features.x.device
        self.weights = stacked([member.weights() for member in members], self.device)
        cosine = members[0].temperature is not None
        self.temperature = numbers([member.temperature or 0 for member in members], self.device) if cosine else None
        self.loss_weights = numbers([member.loss_weight for member in members], self.device)

    def learn(self, epochs: int, epoch_done: Callable[[], None]) -> None:
        """Learn the bucket that all members have begun, and leave them with what they learned."""
        penalties = self._penalties()
        kind = STEPPERS[type(self.members[0].optimizer).__name__]
        stepper = kind(list(self.weights.values()), [member.optimizer_states() for member in self.members])
        best = {name: weight.clone() for name, weight in self.weights.items()}
        kept = [False] * len(self.members)
        for _ in range(epochs):
            orders = [member.begin_epoch() for member in self.members]
            sizes = [len(batch) for batch in orders[0]]
            rows = torch.stack([torch.cat(batches) for batches in orders])
            stepper.set_options([member.optimizer.param_groups[0] for member in self.members])
            gave: list[torch.Tensor] = []
            for chosen in torch.split(to_device(rows, self.device), sizes, dim=1):
                x, y = self.features.take(chosen)
                leaves = {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}
                found = scores(leaves, x, self.temperature)
                loss = losses(found, y, self.loss_weights)
                for penalty in penalties:
                    loss = loss + penalty(leaves, x, found)
                gradients = torch.autograd.grad(loss.sum(), list(leaves.values()))
                with torch.no_grad():
                    stepper.step(gradients)
                gave.append(_counted(found, y, loss))
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
        every = to_device(rows[0][None] if same else torch.stack(list(rows)), self.device)
        gave, sizes = [], []
        with torch.no_grad():
            for chosen in torch.split(every, batch_size, dim=1):
                x, y = self.features.take(chosen[0] if same else chosen)
                found = scores(self.weights, x, self.temperature)
                y = y.expand(found.shape[:2])
                gave.append(_counted(found, y, losses(found, y, self.loss_weights)))
                sizes.append(chosen.shape[1])
        return _batches(gave, sizes)

    def _finite(self) -> list[bool]:
        """Whether the weights of each member are finite."""
        found: list[bool] = torch.stack([w.flatten(1).isfinite().all(1) for w in self.weights.values()]).all(0).tolist()
        return found

    def _penalties(self) -> list[Penalty]:
        found: list[Penalty] = []
        lwf_terms = [member.lockstep.lwf_term() for member in self.members]
        ewc_term = [member.lockstep.ewc_term() for member in self.members]
        if lwf_terms[0] is not None:
            found.append(LwFPenalty.of([one for one in lwf_terms if one], self.temperature, self.device))
        if ewc_term[0] is not None:
            found.append(EWCPenalty.of([one for one in ewc_term if one], self.device))
        return found

    def _give_importances(self) -> None:
        """What EWC will ask for at the end of the bucket: as Avalanche's, of batches in the bucket's own order."""
        if not self.members[0].lockstep.wants_importances:
            return
        rows = to_device(torch.stack([member.bucket_rows() for member in self.members]), self.device)
        parts = torch.split(rows, self.members[0].batch_size, dim=1)
        sums = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        for chosen in parts:
            x, y = self.features.take(chosen)
            leaves = {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}
            loss = losses(scores(leaves, x, self.temperature), y, self.loss_weights)
            for name, gradient in zip(leaves, torch.autograd.grad(loss.sum(), list(leaves.values())), strict=True):
                sums[name] += gradient.square()
        means = {name: (value / len(parts)).cpu() for name, value in sums.items()}
        for index, member in enumerate(self.members):
            member.lockstep.give_importances({name: value[index].clone() for name, value in means.items()})


def _counted(found: torch.Tensor, y: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """`[2, R]`: the loss of each run's batch, and its number of right answers."""
    right = (found.detach().argmax(2) == y).sum(1)
    return torch.stack([loss.detach(), right.to(loss.dtype)])


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
