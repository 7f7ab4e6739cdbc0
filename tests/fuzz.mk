# Fuzz targets: libFuzzer, so always clang; objects of their own.
# FUZZ_SECONDS each, two at a time; FUZZ="fuzz_x ..." selects.

FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
FUZZ_B := build/fuzz
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_CFLAGS := -std=c11 $(WARN) -O1 -g -fno-omit-frame-pointer $(FUZZ_SAN) \
	-pthread
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(FUZZ_B)/%,$(FUZZ_SRC))
fuzz_obj = $(patsubst %.c,$(FUZZ_B)/obj/%.o,$(patsubst $(B)/%,%,$(1)))
FUZZ_LIB_OBJ := $(call fuzz_obj,$(LIB_SRC))

-include $(FUZZ_LIB_OBJ:.o=.d) $(call fuzz_obj,$(FUZZ_SRC:.c=.d))

$(FUZZ_B)/obj/%.o: %.c $(GEN_H)
	@mkdir -p $(@D); echo "  FUZZ  $<"; \
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link \
	    -MMD -MP -c -o $@ $<

$(FUZZ_B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D); \
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_B)/libwpcron.a: $(FUZZ_LIB_OBJ)
	@rm -f $@; $(AR) rcs $@ $^

$(FUZZ_B)/fuzz_%: $(FUZZ_B)/obj/tests/fuzz/fuzz_%.o $(FUZZ_B)/libwpcron.a
	@echo "  LD    $@"; \
	$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -pthread -o $@ \
	    $(filter %.o,$^) $(filter %.a,$^) -Wl,--as-needed $(LIBS_SERVER) $(LIBS)

fuzz-build: $(FUZZ_TARGETS)
.SECONDARY: $(call fuzz_obj,$(FUZZ_SRC)) $(call obj,$(DRIVER_SRC))

fuzz: fuzz-build
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTHON) tests/fuzz/run.py \
	    $(or $(FUZZ),$(notdir $(FUZZ_TARGETS)))

.PHONY: fuzz fuzz-build
