/**
 * Memory that served once, given back at once. The cipher answers each block with new memory, and the collector would free it
 * by the thousand: then the allocator hands it back to the system, and the next thousand blocks are made of pages that have
 * to be fetched and zeroed, which takes as long as the cipher itself. Freed one by one, the next block gets the same memory,
 * which still lies in the cache.
 */
import { MessageChannel } from "node:worker_threads";

const { port1: closed } = new MessageChannel();
closed.close();

/** The bytes are gone afterwards, unless they are a part of something larger. */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  // What is posted to a closed port is moved and dropped (HTML, 9.4.3, postMessage). Were it not, the collector would free it.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) closed.postMessage(null, [buffer]);
}
