/** socket.io's own packet parser with a tighter limit: no message of ours carries more than one piece of binary. */
import { Decoder, Encoder } from "socket.io-parser";

class OneAttachmentDecoder extends Decoder {
  constructor() {
    super({ maxAttachments: 1 });
  }
}

export const limitedParser = { Encoder, Decoder: OneAttachmentDecoder };
