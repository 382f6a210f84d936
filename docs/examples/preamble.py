import json
import uuid
from pathlib import Path

import grpc

from isobath.analyst.v1 import access_pb2 as access
from isobath.analyst.v1 import access_pb2_grpc, analyst_pb2_grpc
from isobath.analyst.v1 import analyst_pb2 as pb
from isobath.connector.v1 import connector_pb2 as connector

ready = json.loads(Path(".isobath/ready.json").read_text())
channel = grpc.insecure_channel(ready["grpc"])
me = [("authorization", f"Bearer {ready['api_key']}")]
analyst = analyst_pb2_grpc.AnalystServiceStub(channel)
sources = analyst_pb2_grpc.DataSourceServiceStub(channel)
files = analyst_pb2_grpc.FileServiceStub(channel)
keys = access_pb2_grpc.AccessServiceStub(channel)
