#!/usr/bin/env -S node --max-semi-space-size=4
// What it keeps much of are bytes outside of the heap; a young generation of 4 MiB instead of 16 is filled and cleared in
// the same time, and is 35 MB less memory.
import { launch } from "@consilium/shared/launch.mjs";

launch(new URL("../src/main.ts", import.meta.url));
