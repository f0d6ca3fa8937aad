import { describe, expect, it } from "vitest";
import { parsePlan, planHash } from "./plan.ts";
import { pretextInWords } from "./pretext-words.ts";

const minimal = { federation: "lungs", title: "Lungs", rounds: 5 };

describe("plan", () => {
  it("fills in every default and is frozen to the last member", () => {
    const plan = parsePlan(minimal);
    expect(plan.pretext).toMatchObject({ task: "mae", decoder: { width: 128 } });
    expect(Object.isFrozen(plan)).toBe(true);
    expect(Object.isFrozen(plan.model)).toBe(true);
    for (const member of Object.values(plan.pretext)) expect(Object.isFrozen(member)).toBe(true);
  });

  it("has one hash however it is written down, and another for every change", () => {
    const plan = parsePlan(minimal);
    const reordered = parsePlan(Object.fromEntries(Object.entries(plan).reverse()));
    expect(planHash(reordered)).toBe(planHash(plan));
    expect(planHash(parsePlan({ ...minimal, seed: 2 }))).not.toBe(planHash(plan));
  });

  it("names each wrong field and refuses unknown ones", () => {
    const wrong = { ...minimal, rounds: 0, model: { imagePx: 65 }, surprise: 1 };
    expect(() => parsePlan(wrong)).toThrow(
      expect.objectContaining({
        code: "plan.invalid",
        culprits: expect.arrayContaining(["rounds", "model"]) as string[],
      }) as Error,
    );
  });

  it("reads plans that were written before there were grey profiles and volumes", () => {
    const { grey, volume, ...older } = parsePlan(minimal);
    const { dimensions, depthPx, patchDepthPx, ...model } = older.model;
    expect({ dimensions, depthPx, patchDepthPx, volume }).toEqual({
      dimensions: 2,
      depthPx: 1,
      patchDepthPx: 1,
      volume: null,
    });
    expect(parsePlan({ ...older, model })).toEqual(parsePlan(minimal));
    expect(grey.CR).toEqual({ range: "percentile", low: 0.005, high: 0.995 });
  });

  it("has a grid of volumes if, and only if, the model has three dimensions", () => {
    const model = { dimensions: 3, depthPx: 32, patchDepthPx: 4 };
    const volume = { depthPx: 40, sliceSpacingMm: 3, pixelSpacingMm: 2 };
    expect(parsePlan({ ...minimal, model, volume }).volume).toEqual(volume);
    for (const wrong of [
      { model },
      { volume },
      { model: { ...model, patchDepthPx: 5 }, volume },
      { model: { dimensions: 2, depthPx: 32 } },
      { grey: { CT: { range: "windows", windows: [] } } },
      { grey: { MR: { range: "percentile", low: 0.9, high: 0.1 } } },
    ])
      expect(() => parsePlan({ ...minimal, ...wrong })).toThrow(
        expect.objectContaining({ code: "plan.invalid" }) as Error,
      );
  });
});

describe("the pretext task", () => {
  it("has settings of its own, and refuses those of another", () => {
    const training = { batchSize: 64 };
    expect(parsePlan({ ...minimal, training, pretext: { task: "mocov3" } }).pretext).toMatchObject({
      momentum: 0.99,
      temperature: 0.2,
      freezePatchProjection: true,
    });
    for (const pretext of [
      { task: "simclr", maskRatio: 0.5 },
      { task: "rotation" },
      { task: "mae", cropMinArea: 0.9, cropMaxArea: 0.5 },
    ])
      expect(() => parsePlan({ ...minimal, training, pretext })).toThrow(
        expect.objectContaining({ code: "plan.invalid" }) as Error,
      );
  });

  it("that compares images needs some to compare, and cannot protect them one by one", () => {
    for (const [change, field] of [
      [{ training: { batchSize: 4 } }, "training.batchSize"],
      [{ privacy: { unit: "patient", targetEpsilon: 8 } }, "privacy.unit"],
    ] as const)
      expect(() => parsePlan({ ...minimal, ...change, pretext: { task: "simclr" } })).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
      );
  });

  it("with labels evaluates the classes that it teaches, and protects patients without weighing classes", () => {
    const classes = ["normal", "pneumonia"];
    const taught = { ...minimal, pretext: { task: "classify", classes } };
    expect(parsePlan(taught).pretext).toMatchObject({ testShare: 0.3, balanceClasses: true });
    const privacy = { unit: "patient", targetEpsilon: 8 };
    for (const [change, field] of [
      [{ pretext: { task: "classify", classes: ["normal"] } }, "pretext.classes"],
      [{ health: { evaluation: { classes: classes.toReversed() } } }, "health.evaluation.classes"],
      [{ privacy }, "pretext.balanceClasses"],
    ] as const)
      expect(() => parsePlan({ ...taught, ...change })).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
      );
    const pretext = { task: "classify", classes, balanceClasses: false };
    expect(parsePlan({ ...minimal, pretext, privacy }).privacy.unit).toBe("patient");
  });

  it("of findings and of masks has one class or more, and evaluates the head that it teaches or nothing", () => {
    const refused = (plan: object, field: string) => {
      expect(() => parsePlan({ ...minimal, ...plan })).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
      );
    };
    const findings = { task: "findings", classes: ["nodule"] };
    const masks = { task: "masks", classes: ["lung"] };
    for (const pretext of [findings, masks]) {
      const asked = { [pretext.task]: { classes: pretext.classes } };
      expect(parsePlan({ ...minimal, pretext, health: asked }).pretext).toMatchObject({ testShare: 0.3 });
      const others = { [pretext.task]: { classes: ["other"] } };
      refused({ pretext, health: others }, `health.${pretext.task}.classes`);
      refused({ pretext: { ...pretext, classes: [] } }, "pretext.classes");
      // What a site knows of follows from all of its patients.
      refused({ pretext, privacy: { unit: "patient", targetEpsilon: 8 } }, "privacy.unit");
      refused({ pretext, health: asked, aggregation: { secure: "plain" } }, `health.${pretext.task}`);
    }
    refused({ health: { findings: { classes: ["nodule"] } } }, "health.findings");
    refused({ pretext: findings, health: { evaluation: { classes: ["a", "b"] } } }, "health.evaluation");
  });

  it("is said in words", () => {
    const labelled = { task: "classify", classes: ["normal", "pneumonia"] };
    for (const given of [
      ...(["mae", "simclr", "mocov3", "vicreg", "restoration"] as const).map((task) => ({ task })),
      labelled,
      { task: "findings", classes: ["nodule"] },
      { task: "masks", classes: ["lung"], head: "site" },
    ]) {
      const { pretext } = parsePlan({ ...minimal, pretext: given });
      expect(pretextInWords(pretext).endsWith(".")).toBe(true);
    }
  });
});

describe("masked updates", () => {
  const refused = (change: object, field: string) => {
    expect(() => parsePlan({ ...minimal, ...change })).toThrow(
      expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
    );
  };

  it("are what a plan has unless it says otherwise, with three sites or more", () => {
    expect(parsePlan(minimal)).toMatchObject({
      minSites: 3,
      aggregation: { secure: "masked", linkBits: 32 },
    });
    refused({ minSites: 2 }, "minSites");
    expect(parsePlan({ ...minimal, minSites: 2, aggregation: { secure: "plain" } }).minSites).toBe(2);
  });

  it("need training that cannot move a weight without bound", () => {
    refused({ training: { adamBeta1: 0.99, adamBeta2: 0.95 } }, "training.adamBeta2");
    refused({ training: { weightDecay: 100 } }, "training.weightDecay");
  });
});

describe("strategies", () => {
  it("are a word, or a name with settings of their own", () => {
    const named = (strategy: unknown) =>
      parsePlan({ ...minimal, aggregation: { strategy } }).aggregation.strategy;
    expect(named("fedavg")).toBe("fedavg");
    expect(named({ name: "fedavgm" })).toEqual({ name: "fedavgm", learningRate: 1, momentum: 0.9 });
    expect(named({ name: "fedadam", tau: 0.01 })).toMatchObject({
      learningRate: 0.01,
      beta2: 0.99,
      tau: 0.01,
    });
  });

  it("that need each update are refused under masks, with what to do instead", () => {
    for (const name of ["median", "trimmed-mean", "krum", "multi-krum"]) {
      const plan = { ...minimal, minSites: 5, aggregation: { strategy: { name } } };
      expect(() => parsePlan(plan)).toThrow(
        expect.objectContaining({
          code: "plan.needs-each-update",
          culprits: ["aggregation.strategy"],
          next: expect.stringContaining("--plain") as string,
        }) as Error,
      );
      const plain = { ...plan, aggregation: { ...plan.aggregation, secure: "plain" } };
      expect(parsePlan(plain).aggregation.strategy).toMatchObject({ name });
    }
  });

  it("ask for enough sites, and name the setting that is wrong", () => {
    const krum = { strategy: { name: "krum", byzantine: 2 }, secure: "plain" };
    for (const [plan, field] of [
      [{ minSites: 6, aggregation: krum }, "minSites"],
      [{ aggregation: { strategy: { name: "fedavgm", momentum: 2 } } }, "aggregation.strategy.momentum"],
      [{ aggregation: { strategy: { name: "fedavgm", trim: 0.1 } } }, "aggregation.strategy"],
      [{ acceptance: {}, privacy: { unit: "patient", targetEpsilon: 1 } }, "acceptance"],
      [{ stop: {} }, "stop"],
      [{ minSites: 11, aggregation: { strategy: { name: "group-median" } } }, "minSites"],
      [{ minSites: 14, aggregation: { strategy: { name: "group-median", groupSites: 5 } } }, "minSites"],
      [
        { minSites: 12, aggregation: { strategy: { name: "group-median", groupSites: 3 } } },
        "aggregation.strategy.groupSites",
      ],
      [
        { minSites: 12, aggregation: { strategy: { name: "group-median" }, secure: "plain" } },
        "aggregation.strategy",
      ],
    ] as const) {
      expect(() => parsePlan({ ...minimal, ...plan })).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
      );
    }
    expect(parsePlan({ ...minimal, minSites: 7, aggregation: krum }).minSites).toBe(7);
    const groups = parsePlan({
      ...minimal,
      minSites: 12,
      aggregation: { strategy: { name: "group-median" } },
    });
    expect(groups.aggregation.strategy).toEqual({ name: "group-median", groupSites: 4 });
  });
});
