import { describeContract } from "../testing/contract.ts";

describeContract("moves", "indices");
