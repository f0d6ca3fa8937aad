#!/usr/bin/env node
import { launch } from "@consilium/shared/launch.mjs";

launch(new URL("../src/main.ts", import.meta.url));
