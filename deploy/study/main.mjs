import { launch } from "@consilium/shared/launch.mjs";

launch(new URL("./main.ts", import.meta.url));
