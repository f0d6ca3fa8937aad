/**
 * The WebSocket of uploads. Its frames have a masking key of zero (RFC 6455, section 5.3), with which the bytes travel as
 * they are: neither end passes over them once more, and no copy is made. A random key keeps a page's author from choosing
 * the bytes that a browser sends; nobody chooses ours, which are ciphertext (ADR 36).
 */
import { NodeWebSocket } from "socket.io-client";

export class ZeroKeySocket extends NodeWebSocket {
  override createSocket(
    uri: string,
    protocols: string | string[] | undefined,
    options: Readonly<Record<string, unknown>>,
  ): unknown {
    return super.createSocket(uri, protocols, { ...options, generateMask: (key: Uint8Array) => key.fill(0) });
  }
}
