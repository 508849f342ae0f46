"""Operations: one a file. An entry in the group ``geobatch.ops`` registers one."""
