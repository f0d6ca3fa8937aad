import { pretextContract } from "./pretext.contract.ts";

const decoder = { width: 16, depth: 1, heads: 2 };
const projector = { hidden: 32, width: 16 };

pretextContract({ pretext: { task: "mae", decoder }, steps: 30, falls: 0.6 });
pretextContract({ pretext: { task: "simclr", projector }, steps: 40, falls: 0.9 });
pretextContract({ pretext: { task: "mocov3", projector }, steps: 60, falls: 0.9 });
pretextContract({ pretext: { task: "vicreg", projector }, steps: 30, falls: 0.8 });
pretextContract({ pretext: { task: "restoration", decoder }, steps: 80, falls: 0.6 });
pretextContract({ pretext: { task: "classify", classes: ["even", "odd"] }, steps: 40, falls: 0.9 });
pretextContract({ pretext: { task: "findings", classes: ["even", "odd"] }, steps: 40, falls: 0.9 });
pretextContract({ pretext: { task: "masks", classes: ["bright"] }, steps: 30, falls: 0.8 });
