"""TensorFlow Datasets builders with masks; importing this registers them.

Like every set of TFDS they are made with `tfds build` or `tfds.load`:

    tfds build voc_segmentation --imports=keras_seg.data.builders --manual_dir=/data

    import keras_seg.data.builders
    tfds.load("voc_segmentation", split="val")

With `--file_format=array_record` it is `keras_seg.data.tfds` that reads them, by index.
(TFDS 4.9.10 starts its command only where apache-beam and mlcroissant are installed.)

Files come from the folder `--manual_dir`, or else from the data sets' own sites. COCO
is large, and Apache Beam (`pip install 'keras-seg[beam]'`) makes its shards in parallel
where a runner is named:

    --beam_pipeline_options=runner=DirectRunner,direct_num_workers=8,\
direct_running_mode=multi_processing
    --beam_pipeline_options=runner=DataflowRunner,project=P,region=R,\
temp_location=gs://B/tmp,requirements_file=/tmp/requirements.txt
    --beam_pipeline_options=runner=SparkRunner,spark_master_url=spark://HOST:7077
    --beam_pipeline_options=runner=FlinkRunner,flink_master=HOST:8081,\
environment_type=LOOPBACK

Workers need keras-seg (a line of the requirements file, or in their container), and see
`--data_dir` and `--manual_dir`, so these are on a shared disk or in a bucket (`gs://`).
"""

from keras_seg.data.builders.coco_segmentation import (
    CocoSegmentation as CocoSegmentation,
)
from keras_seg.data.builders.voc_segmentation import VocSegmentation as VocSegmentation
