"""Divide and conquer with `model.fit`: python examples/fit.py DIR.

DIR holds train/CLASS/*.jpg and test/CLASS/*.jpg, whose classes need not be the same.
"""

import sys

import keras

import dce_tf

SIZE, EPOCHS = 64, 6
splits = dce_tf.read_folder(sys.argv[1])

# Any Keras model from 0-255 RGB to a feature map, tokens or a vector.
images = keras.Input((SIZE, SIZE, 3))
features = keras.layers.Rescaling(1 / 255)(images)
for width in (16, 32):
    features = keras.layers.Conv2D(width, 3, 2, activation="relu")(features)
backbone = keras.Model(images, features)

layer = dce_tf.DivideConquerEmbedding(64, num_learners=2)
model = dce_tf.EmbeddingModel(backbone, layer)
model.build((None, SIZE, SIZE, 3))
loss = dce_tf.MarginLoss(miner="distance_weighted")
model.compile(keras.optimizers.Adam(1e-3), loss, metrics=[dce_tf.RecallAtK(1)])

schedule = dce_tf.Schedule(EPOCHS, 3, 5, recluster_every=2, num_clusters=2)
data = dce_tf.DividedData(model, splits.train, schedule, image_size=SIZE, batch_size=16)
recluster = dce_tf.Recluster(splits.train.labels, schedule, data.features, data.deliver)
model.fit(data.dataset, epochs=EPOCHS, callbacks=[recluster], shuffle=False, verbose=2)
model.save("model.keras")
