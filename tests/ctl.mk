# What wp-cronctl reads and prints, without a site.

CTL_TEST_OBJ := $(call obj,$(wildcard tests/ctl/*.c))
CTL_TEST_OF := $(filter-out %/main.o,$(call obj,$(CTL_SRC)))

$(CTL_TEST_OBJ): CPPFLAGS += $(CHECK_CFLAGS) -Itools/ctl
-include $(CTL_TEST_OBJ:.o=.d)

$(B)/test_ctl: $(CTL_TEST_OBJ) $(CTL_TEST_OF) $(B)/libwpcron.a
	@echo "  LD    $@"; $(CC) $(LDFLAGS_ALL) -o $@ $^ $(CHECK_LIBS) $(LIBS)

check-ctl: $(B)/test_ctl
	@$(RUN_CHECK) $(B)/test_ctl

check: check-ctl

.PHONY: check-ctl
