/**
 * Buffers that serve again and again. A fresh megabyte costs more than filling it: its pages are fetched from the system and
 * zeroed, and the collector runs every few of them. A thread keeps a few that nobody uses; the others it gives back.
 */
import { giveBack } from "./give-back.ts";

/** A piece of a file, and a chunk of a sealed object. */
const KEPT_BYTES = 1024 * 1024;
/** Enough for two objects that are looked through at once, each read through one and opened into another. */
const KEPT = 4;
const kept: Buffer<ArrayBuffer>[] = [];

/** @returns of that length or longer, with whatever was in it; to be returned once, by whoever uses no view of it any more */
export function lend(length: number): Buffer<ArrayBuffer> {
  const used = length > KEPT_BYTES ? undefined : kept.pop();
  return used ?? Buffer.allocUnsafeSlow(Math.max(length, KEPT_BYTES));
}

export function takeBack(buffer: Buffer<ArrayBuffer>): void {
  if (buffer.length === KEPT_BYTES && kept.length < KEPT) kept.push(buffer);
  else giveBack(buffer);
}
