import { describeContract } from "../testing/contract.ts";

describeContract("convolution", "images");
