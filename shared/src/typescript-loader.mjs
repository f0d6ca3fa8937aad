// Preloaded into worker threads. `--import tsx` alone does nothing in a thread on Node 20: the hooks have to be
// registered there by a call.
import { register } from "tsx/esm/api";

register();
