"""Every loss once more, as the papers' sums in plain loops over NumPy numbers.

Each takes embeddings of unit length, labels, and the proxies where there are some, and
has the default options of the loss of its name. Pairs are all pairs.
"""

import math
from collections.abc import Callable

import numpy as np

Oracle = Callable[..., float]

CLASS_COUNTS = (1, 2, 3, 9)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(max(float(np.sum((a - b) ** 2)), 1e-8))


def positives(labels: np.ndarray, a: int) -> list[int]:
    return [i for i in range(len(labels)) if i != a and labels[i] == labels[a]]


def negatives(labels: np.ndarray, a: int) -> list[int]:
    return [i for i in range(len(labels)) if labels[i] != labels[a]]


def mean(terms: list[float]) -> float:
    return sum(terms) / len(terms) if terms else 0.0


def log_one_plus(terms: list[float]) -> float:
    return math.log(1 + sum(math.exp(term) for term in terms))


def softplus(x: float) -> float:
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def contrastive(x, labels) -> float:
    pull, push = [], []
    for a in range(len(x)):
        pull += [distance(x[a], x[p]) ** 2 for p in positives(labels, a)]
        gaps = [1.0 - distance(x[a], x[n]) for n in negatives(labels, a)]
        push += [gap**2 for gap in gaps if gap > 0]
    return mean(pull) + mean(push)


def triplet_all(x, labels) -> float:
    terms = []
    for a in range(len(x)):
        for p in positives(labels, a):
            for n in negatives(labels, a):
                cost = distance(x[a], x[p]) - distance(x[a], x[n]) + 0.2
                terms += [cost] if cost > 0 else []
    return mean(terms)


def triplet(x, labels) -> float:
    terms = []
    for a in range(len(x)):
        for p in positives(labels, a):
            near = distance(x[a], x[p])
            others = [distance(x[a], x[n]) for n in negatives(labels, a)]
            if others:
                behind = [d for d in others if d > near]
                terms.append(
                    max(near - (min(behind) if behind else max(others)) + 0.2, 0)
                )
    return mean(terms)


def hardest(x, labels) -> list[float]:
    gaps = []
    for a in range(len(x)):
        near = [distance(x[a], x[p]) for p in positives(labels, a)]
        far = [distance(x[a], x[n]) for n in negatives(labels, a)]
        gaps += [max(near) - min(far)] if near and far else []
    return gaps


def triplet_hard(x, labels) -> float:
    return mean([max(gap + 0.2, 0) for gap in hardest(x, labels)])


def triplet_soft(x, labels) -> float:
    return mean([softplus(gap) for gap in hardest(x, labels)])


def n_pairs(x, labels) -> float:
    # The images of a class are anchor and positive by turns.
    anchors, partners = [], []
    for label in sorted(set(labels.tolist())):
        members = [i for i in range(len(x)) if labels[i] == label]
        count = len(members) // 2 * 2
        anchors += members[:count:2]
        partners += members[1:count:2]
    terms = []
    for a in anchors:
        total = sum(math.exp(16 * float(x[a] @ x[p])) for p in partners)
        own = [p for p in partners if labels[p] == labels[a]]
        terms.append(mean([math.log(total) - 16 * float(x[a] @ x[p]) for p in own]))
    return mean(terms)


def lifted_structure(x, labels) -> float:
    terms = []
    for i in range(len(x)):
        for j in positives(labels, i):
            pushed = sum(
                math.exp(1 - distance(x[own], x[n]))
                for own in (i, j)
                for n in negatives(labels, own)
            )
            cost = math.log(pushed) + distance(x[i], x[j]) if pushed else 0.0
            terms.append(max(cost, 0) ** 2)
    return mean(terms) / 2


def angular(x, labels) -> float:
    squared = math.tan(math.radians(40)) ** 2
    terms = []
    for a in range(len(x)):
        for p in positives(labels, a):
            terms.append(
                log_one_plus(
                    [
                        4 * squared * float((x[a] + x[p]) @ x[n])
                        - 2 * (1 + squared) * float(x[a] @ x[p])
                        for n in negatives(labels, a)
                    ]
                )
            )
    return mean(terms)


def multi_similarity(x, labels) -> float:
    terms = []
    for a in range(len(x)):
        pull = [-2 * (float(x[a] @ x[p]) - 0.5) for p in positives(labels, a)]
        push = [50 * (float(x[a] @ x[n]) - 0.5) for n in negatives(labels, a)]
        terms.append(log_one_plus(pull) / 2 + log_one_plus(push) / 50)
    return mean(terms)


def circle(x, labels) -> float:
    m, gamma, terms = 0.4, 80, []
    for a in range(len(x)):
        near, far = positives(labels, a), negatives(labels, a)
        if not near or not far:
            continue
        pull = push = 0.0
        for p in near:
            s = float(x[a] @ x[p])
            pull += math.exp(-gamma * max(1 + m - s, 0) * (s - 1 + m))
        for n in far:
            s = float(x[a] @ x[n])
            push += math.exp(gamma * max(s + m, 0) * (s - m))
        terms.append(math.log(1 + pull * push))
    return mean(terms)


def supcon(x, labels) -> float:
    terms = []
    for a in range(len(x)):
        others = [math.exp(float(x[a] @ x[o]) / 0.1) for o in range(len(x)) if o != a]
        own = [float(x[a] @ x[p]) / 0.1 for p in positives(labels, a)]
        terms += [mean([math.log(sum(others)) - s for s in own])] if own else []
    return mean(terms)


def nt_xent(x, labels) -> float:
    terms = []
    for a in range(len(x)):
        rest = sum(math.exp(float(x[a] @ x[n]) / 0.07) for n in negatives(labels, a))
        for p in positives(labels, a):
            own = math.exp(float(x[a] @ x[p]) / 0.07)
            terms.append(-math.log(own / (own + rest)))
    return mean(terms)


def snr(x, labels) -> float:
    pull, push = [], []
    for a in range(len(x)):
        signal = float(np.var(x[a]))
        for p in positives(labels, a):
            gap = float(np.var(x[a] - x[p])) / signal - 0.01
            pull += [gap] if gap > 0 else []
        for n in negatives(labels, a):
            gap = 0.2 - float(np.var(x[a] - x[n])) / signal
            push += [gap] if gap > 0 else []
    return mean(pull) + mean(push) + 0.1 * mean([abs(float(np.sum(v))) for v in x])


def fastap(x, labels) -> float:
    width, terms = 0.4, []
    for a in range(len(x)):
        own, others = positives(labels, a), negatives(labels, a)
        if not own:
            continue

        def share(o: int, b: int, a: int = a) -> float:
            square = 2 - 2 * float(x[a] @ x[o])
            return max(0.0, 1 - abs(square - b * width) / width)

        precision = 0.0
        for b in range(11):
            here = sum(share(p, b) for p in own)
            hits = sum(share(p, c) for p in own for c in range(b + 1))
            seen = hits + sum(share(n, c) for n in others for c in range(b + 1))
            precision += here * hits / seen if seen > 1e-6 else 0.0
        terms.append(1 - precision / len(own))
    return mean(terms)


def recall_at_k(x, labels) -> float:
    def sigmoid(value: float) -> float:
        return 0.5 * (1 + math.tanh(value / 2))

    terms = []
    for q in range(len(x)):
        own, s = positives(labels, q), x @ x[q]
        ranks = [
            1
            + sum(
                sigmoid((s[z] - s[p]) / 0.01) for z in range(len(x)) if z not in (q, p)
            )
            for p in own
        ]
        if own:
            terms.append(
                mean(
                    [
                        1 - sum(sigmoid(k - r) for r in ranks) / min(k, len(own))
                        for k in (1, 2, 4, 8, 16)
                    ]
                )
            )
    return mean(terms)


def recall_at_k_of_the_program(x, labels) -> float:
    """What the authors' program computes, query by query, in their steps."""

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-min(max(value, -50), 50)))

    terms = []
    for q in range(len(x)):
        own, s = positives(labels, q), x @ x[q]
        if not own:
            continue
        recalls = []
        for k in (1, 2, 4, 8, 16):
            cut, recall = min(k, len(x)), 0.0
            for p in own:
                # The query is among those that may stand before p.
                before = [
                    sigmoid((s[z] - s[p]) / 0.01) for z in range(len(x)) if z != p
                ]
                recall += sigmoid((cut - 1 - sum(before)) / k)
            recalls.append(min(recall, cut) / min(cut, len(own)))
        terms.append(1 - mean(recalls))
    return mean(terms)


def cross_entropy(logits: np.ndarray, label: int, smoothing: float = 0) -> float:
    top = float(logits.max())
    total = top + math.log(sum(math.exp(z - top) for z in logits))
    wanted = [
        smoothing / len(logits) + (1 - smoothing) * (c == label)
        for c in range(len(logits))
    ]
    return sum(w * (total - float(z)) for w, z in zip(wanted, logits, strict=True))


def nearest_of(centers: int, loss: Callable[..., float]) -> Oracle:
    """Returns a loss of several centres per class, of which the nearest counts."""

    def of_centers(x, labels, proxies) -> float:
        terms = []
        for v, y in zip(x, labels, strict=True):
            own = proxies.reshape(-1, centers, x.shape[1])
            nearest = np.array(
                [max(group, key=lambda p: float(p @ v)) for group in own]
            )
            terms.append(loss(v[None], [y], nearest, smoothing=0.1))
        return mean(terms)

    return of_centers


def normalized_softmax(x, labels, proxies, smoothing=0) -> float:
    return mean(
        [
            cross_entropy(proxies @ v / 0.05, y, smoothing)
            for v, y in zip(x, labels, strict=True)
        ]
    )


def arcface(x, labels, proxies, smoothing=0, margins=(0.5,) * 4) -> float:
    terms = []
    for v, y in zip(x, labels, strict=True):
        cosines = proxies @ v
        angle, margin = math.acos(min(1.0, max(-1.0, float(cosines[y])))), margins[y]
        moved = math.cos(angle + margin)
        if angle > math.pi - margin:
            moved = math.cos(angle) - margin * math.sin(margin)
        cosines[y] = moved
        terms.append(cross_entropy(64 * cosines, y, smoothing))
    return mean(terms)


def arcface_of_rare_classes(x, labels, proxies) -> float:
    margins = [0.1 + 0.4 / count**0.5 for count in CLASS_COUNTS]
    return arcface(x, labels, proxies, margins=margins)


def tcm(x, labels) -> float:
    pull, push = [], []
    for a in range(len(x)):
        pull += [0.9 - float(x[a] @ x[p]) for p in positives(labels, a)]
        push += [float(x[a] @ x[n]) - 0.5 for n in negatives(labels, a)]
    return mean([c for c in pull if c > 0]) + mean([c for c in push if c > 0])


def cosface(x, labels, proxies, smoothing=0) -> float:
    terms = []
    for v, y in zip(x, labels, strict=True):
        cosines = proxies @ v
        cosines[y] -= 0.35
        terms.append(cross_entropy(64 * cosines, y, smoothing))
    return mean(terms)


def proxy_nca(x, labels, proxies) -> float:
    terms = []
    for v, y in zip(x, labels, strict=True):
        squares = np.array([np.sum((v - p) ** 2) for p in proxies])
        terms.append(cross_entropy(-9 * squares, y))
    return mean(terms)


def proxy_anchor(x, labels, proxies) -> float:
    pull, push = [], []
    for c, p in enumerate(proxies):
        own = [
            -32 * (float(v @ p) - 0.1) for v, y in zip(x, labels, strict=True) if y == c
        ]
        rest = [
            32 * (float(v @ p) + 0.1) for v, y in zip(x, labels, strict=True) if y != c
        ]
        pull += [log_one_plus(own)] if own else []
        push.append(log_one_plus(rest))
    return mean(pull) + mean(push)


def soft_triple(x, labels, proxies) -> float:
    centers = proxies.reshape(-1, 10, x.shape[1])
    terms = []
    for v, y in zip(x, labels, strict=True):
        similarity = []
        for own in centers:
            s = own @ v
            weights = np.exp((s - s.max()) / 0.1)
            similarity.append(float(weights @ s / weights.sum()))
        logits = np.array(similarity)
        logits[y] -= 0.01
        terms.append(cross_entropy(20 * logits, y))
    gaps = [
        math.sqrt(max(2 - 2 * float(own[j] @ own[k]), 1e-10))
        for own in centers
        for j in range(10)
        for k in range(j + 1, 10)
    ]
    return mean(terms) + 0.2 * sum(gaps) / (len(centers) * 10 * 9)


ORACLES: dict[str, Oracle] = {
    "contrastive(miner=all)": contrastive,
    "triplet(kind=all)": triplet_all,
    "triplet": triplet,
    "triplet(kind=hard)": triplet_hard,
    "triplet(kind=hard, soft=True)": triplet_soft,
    "n_pairs": n_pairs,
    "lifted_structure": lifted_structure,
    "angular": angular,
    "multi_similarity(miner=all)": multi_similarity,
    "circle": circle,
    "supcon": supcon,
    "nt_xent": nt_xent,
    "snr": snr,
    "tcm": tcm,
    "fastap": fastap,
    "recall_at_k": recall_at_k,
    "recall_at_k(form=program)": recall_at_k_of_the_program,
    "normalized_softmax": normalized_softmax,
    "arcface": arcface,
    "arcface(margin=0.1, rare_margin=0.4, rarity=0.5)": arcface_of_rare_classes,
    "cosface": cosface,
    "normalized_softmax(num_centers=2, smoothing=0.1)": nearest_of(
        2, normalized_softmax
    ),
    "arcface(num_centers=3, smoothing=0.1)": nearest_of(3, arcface),
    "cosface(num_centers=3, smoothing=0.1)": nearest_of(3, cosface),
    "proxy_nca": proxy_nca,
    "proxy_anchor": proxy_anchor,
    "soft_triple": soft_triple,
}
