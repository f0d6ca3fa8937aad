/**
 * TensorFlow.js as this project uses it: the core with gradient rules, without its banner.
 * Model code imports `tf` from here: `import * as tf from "../engine/tf.ts"`.
 */
import * as core from "@tensorflow/tfjs-core";
import { registerGradients } from "./gradients/register.ts";

// Otherwise TF.js' own backends advise on the terminal to install tfjs-node.
core.enableProdMode();
registerGradients();

export * from "@tensorflow/tfjs-core";
