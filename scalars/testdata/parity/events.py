"""Writes first.tfevents and second.tfevents with TensorBoard's own protocol buffers and record
writer, a run and where it goes on after step 2, and reads both back as TensorBoard does: step 3
of the first, which the run did not stand by, is gone.

Made with Python 3.11 and tensorboard 2.21.0. Run in this folder: python events.py
"""
import math
import pathlib
import tempfile

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

BEGIN = 1_700_000_000.25  # seconds; each event comes half a second later


class Writer:
    def __init__(self, path, begin):
        self.file, self.time = open(path, "wb"), begin
        self.records = RecordWriter(self.file)

    def add(self, **fields):
        self.records.write(event_pb2.Event(wall_time=self.time, **fields).SerializeToString())
        self.time += 0.5

    def begin(self, after):
        self.add(file_version="brain.Event:2")
        self.add(step=after + 1 if after else 0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def scalars(self, step, values):
        self.add(step=step, summary=summary_pb2.Summary(
            value=[summary_pb2.Summary.Value(tag=k, simple_value=v) for k, v in values.items()]))


a = Writer("first.tfevents", BEGIN)
a.begin(0)
a.scalars(1, {"loss": 0.7, "lr": 1e-3, "indicators/ln q/q0 layer1": -0.25})
a.scalars(2, {"loss": 0.5, "lr": 2e-3})
a.scalars(3, {"loss": 99, "größe": math.inf})
a.file.close()
b = Writer("second.tfevents", BEGIN + 100)
b.begin(2)
b.scalars(3, {"loss": math.nan, "lr": 3e-3})
b.scalars(1 << 40, {"loss": 0.25, "probe/image AUROC": 1.0})
b.file.close()

with tempfile.TemporaryDirectory() as d:
    for k, name in enumerate(("first", "second")):
        data = pathlib.Path(name + ".tfevents").read_bytes()
        pathlib.Path(d, f"events.out.tfevents.{1700000000 + k}.gotab").write_bytes(data)
    seen = event_accumulator.EventAccumulator(d).Reload()
    loss = seen.Scalars("loss")
    assert [e.step for e in loss] == [1, 2, 3, 1 << 40], loss
    assert abs(loss[0].value - 0.7) < 1e-7 and loss[0].wall_time == BEGIN + 1 and math.isnan(loss[2].value)
    assert [e.step for e in seen.Scalars("probe/image AUROC")] == [1 << 40]
    assert [e.value for e in seen.Scalars("indicators/ln q/q0 layer1")] == [-0.25]
    print("TensorBoard reads", seen.Tags()["scalars"])
