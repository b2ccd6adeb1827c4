# One target a parser of foreign bytes. Without --enable-fuzzing each is linked with
# replay.c, which runs every file of the corpus through it once; `make check` does so.
