"""Plays the vectors in this folder by docs/protocol.md alone: an implementation that shares no line with the project.

    python test/vectors/secagg/check.py        # needs `cryptography`; prints one line for each file, exit code 1 on a difference

Every value that it compares it has made itself from `inputs`: keys, signatures, context, shares, digests, boxes, masks,
encoded and masked vectors, hashes, releases, rebuilt keys, the sum and the means.
"""

import base64
import hashlib
import json
import math
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.poly1305 import Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent


# Encodings


def canonical(value):
    return json.dumps(plain_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain_numbers(value):
    """Whole numbers as ECMAScript prints them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: plain_numbers(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain_numbers(member) for member in value]
    return value


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(*parts):
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else part.encode())
    return hashed.digest()


def name_of(*parts):
    return digest(*parts).hex()


# Keys


def public_x25519(secret):
    return raw(X25519PrivateKey.from_private_bytes(secret).public_key())


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(secret, public):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def sign(kind, body, seed):
    text = f"consilium/1 {kind}\n{canonical(body)}"
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode())
    return {"body": body, "signature": b64(signature)}, text


def expand(secret, context, label):
    info = f"consilium/1 secagg {label}".encode()
    return HKDF(hashes.SHA256(), 32, bytes.fromhex(context), info).derive(secret)


# secretbox: XSalsa20 and Poly1305 (Bernstein, "Cryptography in NaCl", 2009)


def rotate(value, bits):
    value &= 0xFFFFFFFF
    return ((value << bits) | (value >> (32 - bits))) & 0xFFFFFFFF


def salsa_rounds(words):
    x = list(words)
    quarters = [(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)]
    quarters += [(0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)]
    for _ in range(10):
        for a, b, c, d in quarters:
            x[b] ^= rotate(x[a] + x[d], 7)
            x[c] ^= rotate(x[b] + x[a], 9)
            x[d] ^= rotate(x[c] + x[b], 13)
            x[a] ^= rotate(x[d] + x[c], 18)
    return x


def salsa_state(key, sixteen):
    constants = struct.unpack("<4I", b"expand 32-byte k")
    k = struct.unpack("<8I", key)
    n = struct.unpack("<4I", sixteen)
    return [constants[0], *k[:4], constants[1], *n, constants[2], *k[4:], constants[3]]


def secretbox(message, nonce, key):
    x = salsa_rounds(salsa_state(key, nonce[:16]))
    subkey = struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    stream = b""
    for block in range((32 + len(message) + 63) // 64):
        state = salsa_state(subkey, nonce[16:] + struct.pack("<Q", block))
        mixed = zip(salsa_rounds(state), state)
        stream += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in mixed))
    sealed = bytes(a ^ b for a, b in zip(message, stream[32:]))
    return Poly1305.generate_tag(stream[:32], sealed) + sealed


# Shamir's sharing over GF(2^8) modulo x^8 + x^4 + x^3 + x + 1


def times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a):
    return next(b for b in range(1, 256) if times(a, b) == 1)


def share_at(x, coefficients, secret):
    """Coefficients from the highest power down; the secret is the constant term."""
    value = bytes(32)
    for coefficient in [*coefficients, secret]:
        value = bytes(times(x, v) ^ c for v, c in zip(value, coefficient))
    return value


def combine(points):
    secret = bytes(32)
    for x, share in points:
        weight = 1
        for other, _ in points:
            if other != x:
                weight = times(weight, times(other, inverse(other ^ x)))
        secret = bytes(s ^ times(weight, v) for s, v in zip(secret, share))
    return secret


# Merkle trees (RFC 9162, section 2.1)


def split_of(leaves):
    size = 1
    while 2 * size < len(leaves):
        size *= 2
    return leaves[:size], leaves[size:]


def merkle_root(leaves):
    if len(leaves) == 1:
        return digest(b"\x00", leaves[0])
    left, right = split_of(leaves)
    return digest(b"\x01", merkle_root(left), merkle_root(right))


def merkle_path(place, leaves):
    """From the leaf's neighbour up to the root's child."""
    if len(leaves) == 1:
        return b""
    left, right = split_of(leaves)
    if place < len(left):
        return merkle_path(place, left) + merkle_root(right)
    return merkle_path(place - len(left), right) + merkle_root(left)


# The vector


def keystream(key, offset, length):
    counter = (offset // 16).to_bytes(16, "big")
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return cipher.update(bytes(length))


class Layout:
    def __init__(self, layout):
        self.layout = layout
        self.bits = 32 if layout["link"] == "wide" else 16
        self.length = sum(tensor["length"] for tensor in layout["tensors"])
        self.body_bytes = -(-self.length * self.bits // 8 // 16) * 16
        self.extras = sum(extra["length"] for extra in layout["extras"])
        self.tail_words = 2 + self.extras + 4
        self.total = self.body_bytes + 4 * self.tail_words
        self.levels = (2 ** (self.bits - 1) - 1) // layout["sites"]
        self.tail_levels = (2**31 - 1) // layout["sites"]
        self.elements = self.body_bytes * 8 // self.bits

    def unpack(self, data):
        body = struct.unpack(f"<{self.elements}{'i' if self.bits == 32 else 'h'}", data[: self.body_bytes])
        return list(body), list(struct.unpack(f"<{self.tail_words}i", data[self.body_bytes :]))

    def pack(self, body, tail):
        def wrap(value, bits):
            value %= 2**bits
            return value - 2**bits if value >= 2 ** (bits - 1) else value

        packed = struct.pack(
            f"<{self.elements}{'i' if self.bits == 32 else 'h'}", *(wrap(v, self.bits) for v in body)
        )
        return packed + struct.pack(f"<{self.tail_words}i", *(wrap(v, 32) for v in tail))

    def add(self, one, other, sign):
        (a, s), (b, t) = self.unpack(one), self.unpack(other)
        return self.pack([x + sign * y for x, y in zip(a, b)], [x + sign * y for x, y in zip(s, t)])

    def encode(self, site):
        layout, key = self.layout, bytes.fromhex(site["roundingKey"])
        cap = layout["examplesCap"]
        counted = min(site["examples"], cap)
        weight = counted / cap
        clipped = 0

        def rounded(value, bound, levels, weight, noise):
            nonlocal clipped
            if abs(value) > bound:
                clipped += 1
                value = math.copysign(bound, value)
            return max(-levels, min(levels, math.floor(value * (levels * weight / bound) + noise * 2.0**-32)))

        noise = struct.unpack(f"<{self.length}I", keystream(key, 0, 4 * self.length))
        body, at = [], 0
        for tensor in layout["tensors"]:
            for i in range(at, at + tensor["length"]):
                body.append(rounded(site["update"][i], tensor["bound"], self.levels, weight, noise[i]))
            at += tensor["length"]
        body += [0] * (self.elements - self.length)
        start = -(-4 * self.length // 16) * 16
        noise = struct.unpack(f"<{self.tail_words}I", keystream(key, start, 4 * self.tail_words))
        tail, at = [counted, 0], 2
        for extra in layout["extras"]:
            for value in site["extras"][extra["name"]]:
                if extra["kind"] == "count":
                    inside = min(extra["most"], max(0, math.floor(value + 0.5)))
                    clipped += inside != value
                    tail.append(inside)
                else:
                    scale = weight if extra["weighted"] else 1
                    tail.append(rounded(value, extra["bound"], self.tail_levels, scale, noise[at]))
                at += 1
        tail[1] = min(clipped, self.tail_levels, self.length + self.extras)
        return self.pack(body, tail + [0] * 4)

    def decode(self, total):
        body, tail = self.unpack(total)
        assert tail[-4:] == [0] * 4, "check words"
        layout, examples = self.layout, tail[0]
        weights = examples / layout["examplesCap"]
        mean, at = [], 0
        for tensor in layout["tensors"]:
            unit = tensor["bound"] / self.levels / weights
            mean += [to_float32(v * unit) for v in body[at : at + tensor["length"]]]
            at += tensor["length"]
        extras, at = {}, 2
        for extra in layout["extras"]:
            words = tail[at : at + extra["length"]]
            at += extra["length"]
            unit = 1
            if extra["kind"] == "real":
                unit = extra["bound"] / self.tail_levels
                if extra["weighted"]:
                    unit = unit * layout["examplesCap"] / examples
            extras[extra["name"]] = [word * unit for word in words]
        return {"mean": mean, "examples": examples, "clipped": tail[1], "extras": extras}


def to_float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def threshold_of(sites):
    return sites // 2 + 1 if sites < 5 else 2 * sites // 3 + 1


# An attempt


class Differences:
    def __init__(self):
        self.compared = 0
        self.found = []

    def same(self, name, mine, theirs):
        self.compared += 1
        if plain_numbers(mine) != plain_numbers(theirs):
            self.found.append(name)


def play(inputs, outputs, same):
    sites = sorted(inputs["sites"], key=lambda site: site["site"])
    names = [site["site"] for site in sites]
    seeds = {site["site"]: bytes.fromhex(site["signingSeed"]) for site in sites}
    layout = Layout(inputs["layout"])
    n = len(sites)
    t = threshold_of(n)

    # Context
    roster = [
        {
            "site": site["site"],
            "identity": {
                "signingKey": b64(raw(Ed25519PrivateKey.from_private_bytes(seeds[site["site"]]).public_key())),
                "sealingKey": b64(public_x25519(bytes.fromhex(site["sealingSecret"]))),
            },
        }
        for site in sites
    ]
    same("roster", roster, outputs["roster"])
    terms = {
        **inputs["opening"],
        "cohort": sorted(inputs["opening"]["cohort"]),
        "roster": name_of(canonical(roster)),
        "layout": name_of(canonical(inputs["layout"])),
        "threshold": t,
    }
    same("terms", terms, outputs["terms"])
    context = name_of("consilium/1 secagg\n", canonical(terms))
    same("context", context, outputs["context"])

    # 1. Advertise
    seal = {site["site"]: bytes.fromhex(site["advertise"][0]) for site in sites}
    pair = {site["site"]: bytes.fromhex(site["advertise"][1]) for site in sites}
    keys = []
    for name in names:
        body = {
            "context": context,
            "site": name,
            "sealKey": b64(public_x25519(seal[name])),
            "pairKey": b64(public_x25519(pair[name])),
        }
        keys.append(sign("secagg-keys", body, seeds[name]))
    same("keyList", {"context": context, "keys": [signed for signed, _ in keys]}, outputs["keyList"])
    same("signed text", keys[0][1], outputs["signed"]["secagg-keys"])
    mesh = name_of(canonical({"context": context, "keys": [signed["body"] for signed, _ in keys]}))
    same("mesh", mesh, outputs["derived"]["mesh"]["digest"])

    # 2. Share
    shares, dealings, boxes, seed_of, leaves = {}, {}, {}, {}, {}
    for site in sites:
        dealer = site["site"]
        drawn = [bytes.fromhex(text) for text in site["share"]]
        seed_of[dealer] = drawn[0]
        own, paired, nonces = drawn[1:t], drawn[t : 2 * t - 1], drawn[2 * t - 1 :]
        leaves[dealer] = []
        for x, holder in enumerate(names, 1):
            dealt = (share_at(x, own, drawn[0]), share_at(x, paired, pair[dealer]))
            shares[dealer, holder] = dealt
            leaf = b""
            for kind, share in zip(("self", "pair"), dealt):
                label = f"consilium/1 secagg share\n{context}\n{kind}\n{dealer}\n{holder}\n"
                leaf += digest(label, share)
            leaves[dealer].append(leaf)
        commitment = name_of(f"consilium/1 secagg commitment\n{context}\n{dealer}\n", drawn[0])
        body = {"context": context, "site": dealer, "commitment": commitment, "root": merkle_root(leaves[dealer]).hex()}
        dealings[dealer] = sign("secagg-dealing", body, seeds[dealer])[0]
        others = [name for name in names if name != dealer]
        for holder, nonce in zip(others, nonces, strict=True):
            shared = agree(seal[dealer], public_x25519(seal[holder]))
            key = expand(shared, context, f"seal\n{dealer}\n{holder}")
            boxes[dealer, holder] = b64(nonce + secretbox(b"".join(shares[dealer, holder]), nonce, key))
        sealed = [{"to": to, "box": boxes[dealer, to]} for to in others]
        message = {"dealing": dealings[dealer], "digests": b64(b"".join(leaves[dealer])), "boxes": sealed}
        same(f"dealing of {dealer}", message, outputs["dealings"][names.index(dealer)])
    for site in names:
        path = {d: b64(merkle_path(names.index(site), leaves[d])) for d in names}
        delivered = [{"dealing": dealings[d], "path": path[d], "box": boxes[d, site]} for d in names if d != site]
        delivery = {"context": context, "participants": names, "dealings": delivered}
        same(f"delivery to {site}", delivery, outputs["deliveries"][site])
    transcript = name_of(canonical({"context": context, "keys": mesh, "participants": names}))
    same("transcript", transcript, outputs["derived"]["transcript"])

    # 3. Mask
    masks = {}
    for name in names:
        terms_of = [{"key": expand(seed_of[name], context, f"self\n{name}").hex(), "sign": 1}]
        for other in names:
            if other != name:
                low, high = sorted((name, other))
                key = expand(agree(pair[name], public_x25519(pair[other])), context, f"pair\n{low}\n{high}")
                terms_of.append({"key": key.hex(), "sign": 1 if name == low else -1})
        masks[name] = terms_of
    same("masks", masks, outputs["masks"])
    staying = [site for site in sites if site["site"] != inputs["lost"]]
    survivors = [site["site"] for site in staying]
    total, masked = bytes(layout.total), []
    header = struct.pack("<4sBBHI", b"CSLS", 1, layout.bits, 0, n) + bytes.fromhex(context)
    for site in staying:
        name = site["site"]
        plain = layout.encode(site)
        vector = plain
        for mask in masks[name]:
            vector = layout.add(vector, keystream(bytes.fromhex(mask["key"]), 0, layout.total), mask["sign"])
        frame = header + vector
        same(f"vector of {name}", {"plain": plain.hex(), "frame": frame.hex()}, outputs["vectors"][name])
        body = {"context": context, "site": name, "sha256": name_of(frame), "bytes": len(frame)}
        masked.append(sign("secagg-masked", body, seeds[name])[0])
        total = layout.add(total, vector, 1)
    same("masked", masked, outputs["masked"])
    same("sum of masked vectors", total.hex(), outputs["maskedSum"])

    # 4. Consistency
    listed = {"context": context, "survivors": survivors}
    same("survivor list", listed, outputs["survivorList"])
    survivors_hash = name_of(canonical(listed))
    votes = []
    for name in survivors:
        body = {"context": context, "site": name, "transcript": transcript, "survivors": survivors_hash}
        votes.append(sign("secagg-survivors", body, seeds[name])[0])
    same("agreement", {"context": context, "votes": votes}, outputs["agreement"])

    # 5. Unmask
    releases = []
    for name in survivors:
        # Held shares in the order in which they came: the dealers', then the site's own.
        of = [other for other in names if other != name] + [name]
        given = [{"of": d, "share": b64(shares[d, name][0 if d in survivors else 1])} for d in of]
        body = {"context": context, "site": name, "survivors": survivors_hash, "shares": given}
        releases.append(sign("secagg-release", body, seeds[name])[0])
    same("releases", releases, outputs["releases"])
    removals = []
    for dealer in names:
        kind = 0 if dealer in survivors else 1
        points = [(names.index(h) + 1, shares[dealer, h][kind]) for h in survivors][:t]
        secret = combine(points)
        if kind == 0:
            assert secret == seed_of[dealer], "a self seed"
            removals.append({"key": expand(secret, context, f"self\n{dealer}").hex(), "sign": -1})
            continue
        assert secret == pair[dealer], "a pair secret"
        for other in survivors:
            low, high = sorted((dealer, other))
            key = expand(agree(secret, public_x25519(pair[other])), context, f"pair\n{low}\n{high}")
            removals.append({"key": key.hex(), "sign": -1 if other == low else 1})
    same("removals", removals, outputs["removals"])
    for mask in removals:
        total = layout.add(total, keystream(bytes.fromhex(mask["key"]), 0, layout.total), mask["sign"])
    same("sum", total.hex(), outputs["sum"])
    same("aggregate", layout.decode(total), outputs["aggregate"])


def play_ring(ring, same):
    sites, seed = ring["sites"], ring["digest"]
    order = sorted(sites, key=lambda site: name_of(f"consilium/1 secagg ring\n{seed}\n{site}"))
    holders = {
        site: sorted(order[(at + step) % len(order)] for step in range(-50, 51)) for at, site in enumerate(order)
    }
    same("holders of the first", holders[sites[0]], ring["holdersOfFirst"])
    same("all holders", name_of(canonical(holders)), ring["holdersHash"])


def play_groups(draw, same):
    sites, seed = draw["sites"], draw["digest"]
    order = sorted(sites, key=lambda site: name_of(f"consilium/1 secagg group\n{seed}\n{site}"))
    count = len(sites) // draw["groupSites"]
    groups = [sorted(order[group::count]) for group in range(count)]
    groups = [{"sites": group, "threshold": threshold_of(len(group))} for group in groups]
    same(f"groups of {len(sites)}", groups, draw["groups"])


def main():
    differences = Differences()
    attempts = json.loads((HERE / "attempts.json").read_text())
    for link, attempt in attempts.items():
        play(attempt["inputs"], attempt["outputs"], lambda name, a, b: differences.same(f"{link}: {name}", a, b))
    play_ring(json.loads((HERE / "ring.json").read_text()), differences.same)
    for draw in json.loads((HERE / "groups.json").read_text()):
        play_groups(draw, differences.same)
    for name in differences.found:
        print(f"differs: {name}")
    print(f"{differences.compared} values compared, {len(differences.found)} differ")
    return 1 if differences.found else 0


if __name__ == "__main__":
    sys.exit(main())
