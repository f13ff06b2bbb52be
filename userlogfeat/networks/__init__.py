"""Torch modules only: no scikit-learn, no files, no decoding.

==================  ===============================================================
mel                 log-mel spectrograms of waveforms
se_cnn              the audio network of Lee et al. (2019); ``blocks``, what it repeats;
                    ``tiled_convolutions``, its first block on a CPU
metric              the audio network of Chen et al. (2021), beside its users
artist              the network of Park et al. (2018), which recognises artists
conv1d              base of the last two: convolutions over time
frame_statistics    Hamel et al. (2013): statistics of frames over windows
user_tower          the user tower of Chen et al. (2021)
mlp                 fully connected networks, heads
teacher             a saved model: front end, network and head in one module
masks               SpecAugment
data_parallel       a shard of every batch in each process
bf16                convolutions that a processor gets wrong in bf16 stay in fp32
threads             clips and blocks of patches side by side, a thread each
halving             a batch that the GPU has no memory for, in halves
==================  ===============================================================
"""
