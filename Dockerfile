# docker build -t clearctl . && docker run --rm --gpus all clearctl
# torch's wheels bring CUDA with them, so that any Ubuntu or Debian will do; BASE=nvidia/cuda:TAG takes one with CUDA's tools.
ARG BASE=ubuntu:24.04
FROM ${BASE}

# OpenCV, which mmcv imports, needs the last two.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates python3 python3-venv libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/clearctl/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY clearctl clearctl
COPY configs configs
RUN python3 -m venv /opt/clearctl \
    && wheel="$(python -m clearctl.doctor.mmcv_wheel)" \
    && pip install --no-cache-dir -c constraints.txt "$wheel" .

WORKDIR /work
RUN clearctl doctor
CMD ["clearctl", "doctor"]
