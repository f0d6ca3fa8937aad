"""Empty rounds with Flower: CLIENTS clients over gRPC on this machine, one vector, no training.

    rounds_flower.py CLIENTS ELEMENTS ROUNDS  ->  one JSON object: {"flower": version, "roundMs": [...]}
"""
import json
import logging
import multiprocessing
import socket
import sys
import time

import flwr as fl
import numpy as np

logging.getLogger("flwr").setLevel(logging.ERROR)


class Client(fl.client.NumPyClient):
    def fit(self, parameters, config):
        return [parameters[0] + np.float32(1e-3)], 10, {}


class Timed(fl.server.strategy.FedAvg):
    def __init__(self, clients, elements):
        start = fl.common.ndarrays_to_parameters([np.zeros(elements, np.float32)])
        super().__init__(
            fraction_evaluate=0.0,
            min_fit_clients=clients,
            min_available_clients=clients,
            initial_parameters=start,
        )
        self.begun = []

    def configure_fit(self, server_round, parameters, client_manager):
        instructions = super().configure_fit(server_round, parameters, client_manager)
        self.begun.append(time.perf_counter())
        return instructions


def client(address):
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    fl.client.start_client(server_address=address, client=Client().to_client(), insecure=True)


def main():
    clients, elements, rounds = (int(text) for text in sys.argv[1:4])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    processes = [multiprocessing.Process(target=client, args=(address,)) for _ in range(clients)]
    for process in processes:
        process.start()
    strategy = Timed(clients, elements)
    config = fl.server.ServerConfig(num_rounds=rounds + 1)
    fl.server.start_server(server_address=address, config=config, strategy=strategy)
    for process in processes:
        process.join(10)
        process.kill()
    ms = [1000 * (after - before) for before, after in zip(strategy.begun, strategy.begun[1:])]
    print(json.dumps({"flower": fl.__version__, "roundMs": ms}))


if __name__ == "__main__":
    main()
